// What the shell offers when the user presses Tab. The shells' scripts know nothing themselves:
// they ask `memoctl __complete WORD...`, so what is offered is always what this program takes.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace memod {

// An option or a positional argument.
struct ArgumentSyntax {
  std::vector<std::string> names;  // "-o", "--output"; of a positional: none
  std::string description;
  std::string value = {};                 // what it takes, as in "METHOD"; empty: a flag
  std::vector<std::string> choices = {};  // all that it takes, if they are few
  bool many = false;                      // takes any number of values
};

// A command, or the program itself.
struct CommandSyntax {
  std::string name;
  std::string description;
  std::vector<ArgumentSyntax> options = {};
  std::vector<ArgumentSyntax> positionals = {};
  std::vector<CommandSyntax> commands = {};
};

// Names that only a server knows: of a "METHOD", a "SESSION", a "TYPE". Empty: none, or none known.
// `words`: all of the command line, which may say where the server is.
using AskForNames = std::function<std::vector<std::string>(const std::string& value,
                                                           const std::vector<std::string>& words)>;

struct Candidates {
  std::vector<std::string> lines;  // "candidate" or "candidate\tdescription"
  bool files = false;              // names of files instead
};

// For the last of `words`, which are those after the program's name up to the cursor. bash hands
// over "--option=va" as three words, others as one: each gets it back in its way.
Candidates Complete(const CommandSyntax& program, std::vector<std::string> words,
                    const AskForNames& ask);

// The script for "bash" or "zsh", of a program that answers to `__complete` with lines, and with
// exit code kCompleteFiles for names of files.
std::string CompletionScript(const std::string& shell);
inline constexpr int kCompleteFiles = 3;

}  // namespace memod
