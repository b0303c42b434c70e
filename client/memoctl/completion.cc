#include "memod/client/memoctl/completion.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace memod {
namespace {

constexpr char kBash[] = R"(# bash completion of memoctl. Load it: source <(memoctl completion bash)
_memoctl() {
  COMPREPLY=()
  local line lines
  lines=$("$1" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  if [[ $? -eq 3 ]]; then
    compopt -o default
    return
  fi
  while IFS= read -r line; do
    [[ -n $line ]] && COMPREPLY+=("${line%%$'\t'*}")
  done <<<"$lines"
}
complete -F _memoctl memoctl
)";

constexpr char kZsh[] = R"(#compdef memoctl
# zsh completion of memoctl. Load it: source <(memoctl completion zsh)
_memoctl() {
  local line output
  local -a candidates
  output=$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
  if [[ $? -eq 3 ]]; then
    _files
    return
  fi
  for line in "${(@f)output}"; do
    [[ -n $line ]] && candidates+=("${${line//:/\\:}/$'\t'/:}")
  done
  _describe memoctl candidates
}
if [[ ${funcstack[1]} = _memoctl ]]; then
  _memoctl "$@"
else
  compdef _memoctl memoctl
fi
)";

const ArgumentSyntax* FindOption(const std::vector<const CommandSyntax*>& path,
                                 const std::string& name) {
  for (const CommandSyntax* command : path) {
    for (const ArgumentSyntax& option : command->options) {
      const auto& names = option.names;
      if (std::find(names.begin(), names.end(), name) != names.end()) return &option;
    }
  }
  return nullptr;
}

// The words before the last, read: where the last one stands.
struct Position {
  std::vector<const CommandSyntax*> path;  // the program, and the commands named
  const ArgumentSyntax* option = nullptr;  // whose value is due
  size_t positionals = 0;                  // given to the innermost command
};

Position Read(const CommandSyntax& program, const std::vector<std::string>& words) {
  Position at;
  at.path.push_back(&program);
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    if (at.option != nullptr && !(at.option->many && absl::StartsWith(word, "-"))) {
      if (!at.option->many) at.option = nullptr;
      continue;
    }
    at.option = nullptr;
    if (absl::StartsWith(word, "-")) {
      const ArgumentSyntax* option = FindOption(at.path, word);
      if (option != nullptr && !option->value.empty()) at.option = option;
      continue;
    }
    const auto& commands = at.path.back()->commands;
    const auto command = std::find_if(commands.begin(), commands.end(),
                                      [&word](const auto& each) { return each.name == word; });
    if (command != commands.end()) {
      at.path.push_back(&*command);
      at.positionals = 0;
    } else {
      ++at.positionals;
    }
  }
  return at;
}

class Completer {
 public:
  Completer(const std::vector<std::string>& words, const AskForNames& ask)
      : words_(words), ask_(ask) {}

  Candidates Of(const Position& at, const std::string& word) && {
    if (at.option != nullptr) AddValues(*at.option, word);
    if (at.option != nullptr && !at.option->many) return std::move(found_);
    if (absl::StartsWith(word, "-")) {
      for (const CommandSyntax* command : at.path) AddOptions(*command, word);
      return std::move(found_);
    }
    if (at.option != nullptr) return std::move(found_);
    for (const CommandSyntax& command : at.path.back()->commands) {
      Add(word, command.name, command.description);
    }
    if (const ArgumentSyntax* due = PositionalAt(*at.path.back(), at.positionals)) {
      AddValues(*due, word);
    }
    return std::move(found_);
  }

 private:
  static const ArgumentSyntax* PositionalAt(const CommandSyntax& command, size_t index) {
    const auto& positionals = command.positionals;
    if (index < positionals.size()) return &positionals[index];
    return !positionals.empty() && positionals.back().many ? &positionals.back() : nullptr;
  }

  void Add(const std::string& word, const std::string& name, const std::string& description) {
    if (!absl::StartsWith(name, word)) return;
    found_.lines.push_back(description.empty() ? name : absl::StrCat(name, "\t", description));
  }
  void AddOptions(const CommandSyntax& command, const std::string& word) {
    for (const ArgumentSyntax& option : command.options) {
      Add(word, option.names.back(), option.description);  // the long name
    }
  }
  void AddValues(const ArgumentSyntax& argument, const std::string& word) {
    if (argument.value == "FILE") {
      found_.files = true;
      return;
    }
    for (const std::string& choice : argument.choices) Add(word, choice, "");
    if (!argument.choices.empty()) return;
    for (const std::string& name : ask_(argument.value, words_)) Add(word, name, "");
  }

  const std::vector<std::string>& words_;
  const AskForNames& ask_;
  Candidates found_;
};

// "--option", "=", "va" as "--option", "va".
void JoinOptions(std::vector<std::string>& words) {
  for (size_t i = 1; i < words.size(); ++i) {
    if (words[i] != "=" || !absl::StartsWith(words[i - 1], "--")) continue;
    if (i + 1 < words.size()) {
      words.erase(words.begin() + i);
    } else {
      words[i].clear();  // its value has not begun
    }
  }
}

}  // namespace

Candidates Complete(const CommandSyntax& program, std::vector<std::string> words,
                    const AskForNames& ask) {
  if (words.empty()) words.emplace_back();
  JoinOptions(words);
  std::string prefix;
  for (size_t i = 0; i < words.size(); ++i) {
    const size_t equals = words[i].find('=');
    if (!absl::StartsWith(words[i], "--") || equals == std::string::npos) continue;
    std::string value = words[i].substr(equals + 1);
    if (i + 1 == words.size()) prefix = words[i].substr(0, equals + 1);
    words[i].resize(equals);
    words.insert(words.begin() + i + 1, std::move(value));
  }
  Candidates found = Completer(words, ask).Of(Read(program, words), words.back());
  for (std::string& line : found.lines) line = absl::StrCat(prefix, line);
  return found;
}

std::string CompletionScript(const std::string& shell) { return shell == "zsh" ? kZsh : kBash; }

}  // namespace memod
