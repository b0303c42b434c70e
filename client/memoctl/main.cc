// memoctl: sessions and caches of a memod server, from the command line.
#include <CLI/CLI.hpp>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "memod/client/memoctl/call_command.h"
#include "memod/client/memoctl/commands.h"
#include "memod/client/memoctl/completion.h"
#include "memod/client/memoctl/help.h"
#include "memod/client/memoctl/key_commands.h"
#include "memod/client/memoctl/misuse.h"
#include "memod/client/memoctl/names.h"
#include "memod/client/memoctl/table.h"
#include "memod/client/memoctl/top_command.h"
#include "memod/client/memoctl/watch_command.h"

namespace memod {
namespace {

constexpr int kRefused = 1;  // the server said no, or nothing
constexpr int kMisused = 2;
constexpr absl::Duration kMaxTimeout = absl::Hours(24);

// What the command line says.
struct CommandLine {
  CommandOptions options{"127.0.0.1:7070", "127.0.0.1:7071", absl::Seconds(30)};
  TlsText tls;
  Scope scope;
  std::string session_id;
  StateText state;
  CallText call;
  ExplainText explain;  // and `forget`, with the first of its calls
  absl::Duration interval = absl::Seconds(1);
  bool once = false;
  std::string shell;

  using Text = absl::StatusOr<std::string>;
  std::function<Text(AdminPort&)> text;           // of a command that only prints
  std::function<absl::Status(AdminPort&)> other;  // any other
};

// "500ms", "5s", or seconds without a unit.
absl::Duration ParseDuration(const std::string& option, const std::string& text, absl::Duration min,
                             absl::Duration max) {
  absl::Duration duration;
  double seconds = 0;
  if (absl::SimpleAtod(text, &seconds)) {
    duration = absl::Seconds(seconds);
  } else if (!absl::ParseDuration(text, &duration)) {
    duration = absl::ZeroDuration();
  }
  if (duration < min || duration > max) {
    throw CLI::ValidationError(option,
                               absl::StrCat("takes a time from ", absl::FormatDuration(min), " to ",
                                            absl::FormatDuration(max), ", such as 500ms or 5s"));
  }
  return duration;
}

CLI::App* AddCommand(CLI::App& app, const std::string& name, const std::string& description,
                     const char* examples) {
  CLI::App* sub = app.add_subcommand(name, description);
  sub->footer(examples);
  sub->fallthrough();  // common options may stand after the subcommand
  return sub;
}

CLI::App* AddText(CLI::App& app, CommandLine& line, const std::string& name,
                  const std::string& description, const char* examples,
                  std::function<CommandLine::Text(AdminPort&)> text) {
  CLI::App* sub = AddCommand(app, name, description, examples);
  sub->callback([&line, text = std::move(text)] { line.text = text; });
  return sub;
}

CLI::App* AddOther(CLI::App& app, CommandLine& line, const std::string& name,
                   const std::string& description, const char* examples,
                   std::function<absl::Status(AdminPort&)> other) {
  CLI::App* sub = AddCommand(app, name, description, examples);
  sub->callback([&line, other = std::move(other)] { line.other = other; });
  return sub;
}

void AddCommonOptions(CLI::App& app, CommandLine& line) {
  app.add_option("--server", line.options.server, "Data port, where sessions are opened")
      ->type_name("ADDRESS")
      ->envname("MEMOCTL_SERVER")
      ->capture_default_str();
  app.add_option("--admin", line.options.admin, "Admin port")
      ->type_name("ADDRESS")
      ->envname("MEMOCTL_ADMIN")
      ->capture_default_str();
  app.add_option_function<std::string>(
         "--timeout",
         [&line](const std::string& text) {
           line.options.timeout =
               ParseDuration("--timeout", text, absl::Milliseconds(1), kMaxTimeout);
         },
         "Longest wait for an answer")
      ->type_name("TIME")
      ->default_str("30s");
  app.add_option_function<std::string>(
         "-o,--output",
         [&line](const std::string& format) { line.options.json = format == "json"; },
         "table, or json: every field, in units of one")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"table", "json"}))
      ->default_str("table");
  app.set_version_flag("--version", "memoctl " MEMOD_VERSION);
}

void AddTlsOptions(CLI::App& app, TlsText& tls) {
  app.add_flag("--tls", tls.on, "TLS, to a server whose certificate a public CA signed")
      ->envname("MEMOCTL_TLS");
  const auto add = [&app](const std::string& name, std::string& value, const char* variable,
                          const std::string& description, const char* type) {
    app.add_option(name, value, description)->type_name(type)->envname(variable);
  };
  add("--tls-ca", tls.ca, "MEMOCTL_TLS_CA", "TLS, to a server whose certificate these CAs signed",
      "FILE");
  add("--tls-cert", tls.cert, "MEMOCTL_TLS_CERT", "TLS, with this client certificate", "FILE");
  add("--tls-key", tls.key, "MEMOCTL_TLS_KEY", "Private key of the client certificate", "FILE");
  add("--tls-server-name", tls.server_name, "MEMOCTL_TLS_SERVER_NAME",
      "TLS, to a server whose certificate is for this name; default: the address's", "NAME");
}

void AddScopeOptions(CLI::App& sub, CommandLine& line) {
  sub.add_option("--session", line.scope.session_id, "Public id of a session; default: all")
      ->type_name("SESSION");
  sub.add_option("--method", line.scope.method, "Full name, Service/Method; default: all")
      ->type_name("METHOD");
}

void AddInterval(CLI::App& sub, CommandLine& line) {
  sub.add_option_function<std::string>(
         "--interval",
         [&line](const std::string& text) {
           line.interval = ParseDuration("--interval", text, kMinInterval, kMaxInterval);
         },
         "Time between two looks")
      ->type_name("TIME")
      ->default_str("1s");
}

void AddMetadata(CLI::App& sub, const std::string& names, std::vector<std::string>& metadata,
                 const std::string& description) {
  sub.add_option(names, metadata, description)
      ->type_name("NAME=VALUE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

// METHOD and REQUEST; their types' names make the help shorter than "TEXT".
void AddMethodAndRequest(CLI::App& sub, std::string& method, std::string& request) {
  sub.add_option("METHOD", method, "Full name, Service/Method")->type_name("METHOD")->required();
  sub.add_option("REQUEST", request, "JSON, @FILE, or - for stdin; default: an empty message")
      ->type_name("JSON");
}

void AddOpen(CLI::App& app, CommandLine& line) {
  CLI::App* open = AddOther(
      app, line, "open", "Open a session, print its handle, and hold it until Ctrl-C",
      kOpenExamples, [&line](AdminPort&) { return HoldSession(line.options, line.state); });
  CLI::Option* type =
      open->add_option("TYPE", line.state.type, "Type of the state; default: no instance")
          ->type_name("TYPE");
  open->add_option("FIELD=VALUE", line.state.fields,
                   "A field of the state; FIELD=@FILE: the file's text")
      ->needs(type);
  open->add_option("--state", line.state.json, "The state as JSON, or @FILE")
      ->type_name("JSON")
      ->needs(type);
}

void AddCall(CLI::App& app, CommandLine& line) {
  CLI::App* call =
      AddOther(app, line, "call", "Call a method, JSON in and out, and say whether it was a hit",
               kCallExamples, [&line](AdminPort&) { return CallMethod(line.options, line.call); });
  AddMethodAndRequest(*call, line.call.method, line.call.request);
  CLI::Option* file =
      call->add_option("--session-file", line.call.session_file,
                       "File with the session's handle, as open prints it; default: MEMO_SESSION")
          ->type_name("FILE");
  call->add_option("--open", line.call.open,
                   "Open a session for this command: type and fields of its state, as for open")
      ->type_name("TYPE")
      ->expected(1, 1000)
      ->excludes(file);
  AddMetadata(*call, "-H,--metadata", line.call.metadata, "Metadata sent along; repeatable");
  call->add_option("--control", line.call.control, "What memod is to do (memo-control)")
      ->type_name("WORD")
      ->check(CLI::IsMember({"bypass", "refresh", "no-store", "only-if-cached"}));
  call->add_option("--repeat", line.call.repeat, "Call this many times")
      ->type_name("TIMES")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
}

void AddKeyCommands(CLI::App& app, CommandLine& line) {
  DescribedCallText& first = line.explain.call;
  CLI::App* forget = AddText(
      app, line, "forget", "Drop what is remembered for one call", kForgetExamples,
      [&line](AdminPort& admin) { return ForgetCall(admin, line.options, line.explain.call); });
  CLI::App* explain =
      AddText(app, line, "explain", "Show what makes a call's key, and why two calls differ",
              kExplainExamples,
              [&line](AdminPort& admin) { return ExplainKey(admin, line.options, line.explain); });
  for (CLI::App* sub : {forget, explain}) {
    AddMethodAndRequest(*sub, first.method, first.request);
    sub->add_option("--session", first.session_id, "Public id of the call's session")
        ->type_name("SESSION");
    AddMetadata(*sub, "-H,--metadata", first.metadata, "The call's metadata; repeatable");
  }
  explain->add_option("OTHER", line.explain.other_request, "Another request to compare it with")
      ->type_name("JSON");
  explain->add_option("--other-session", line.explain.other_session_id, "Session of the other call")
      ->type_name("SESSION");
  explain
      ->add_option_function<std::vector<std::string>>(
          "--other-metadata",
          [&line](const std::vector<std::string>& all) { line.explain.other_metadata = all; },
          "Metadata of the other call; repeatable")
      ->type_name("NAME=VALUE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

// What an administrator looks at.
void AddReadCommands(CLI::App& app, CommandLine& line) {
  AddScopeOptions(*AddText(app, line, "info", "Show cache_info", kInfoExamples,
                           [&line](AdminPort& admin) {
                             return ShowCacheInfo(admin, line.options, line.scope);
                           }),
                  line);
  AddText(app, line, "sessions", "List the open sessions", kSessionsExamples,
          [&line](AdminPort& admin) { return ListSessions(admin, line.options); });
  AddText(app, line, "methods", "List the memoized methods and their policies", kMethodsExamples,
          [&line](AdminPort& admin) { return ListMethods(admin, line.options); });
  AddText(app, line, "upstreams", "List the services behind memod, connected or not",
          kUpstreamsExamples,
          [&line](AdminPort& admin) { return ListUpstreams(admin, line.options); });
  AddText(app, line, "debug", "Count what is alive in the server", kDebugExamples,
          [&line](AdminPort& admin) { return ShowDebugState(admin, line.options); });
}

// The command to be repeated is parsed as ever; its text is then taken again and again.
void AddWatch(CLI::App& app, CommandLine& line) {
  CLI::App* watch = AddCommand(app, "watch", "Repeat info, sessions, methods, upstreams or debug",
                               kWatchExamples);
  AddInterval(*watch, line);
  AddReadCommands(*watch, line);
  watch->require_subcommand(1);
  watch->parse_complete_callback([&line, watch] {
    const std::string title = absl::StrCat("memoctl ", watch->get_subcommands().at(0)->get_name());
    line.options.json_indent = -1;
    line.other = [&line, title](AdminPort& admin) {
      return Watch(admin, line.options, line.interval, title,
                   [&line, &admin] { return line.text(admin); });
    };
  });
}

void AddTop(CLI::App& app, CommandLine& line) {
  CLI::App* top = AddOther(
      app, line, "top", "Show sessions and methods, live", kTopExamples,
      [&line](AdminPort& admin) { return Top(admin, line.options, line.interval, line.once); });
  AddInterval(*top, line);
  top->add_flag("--once", line.once, "Print one interval's figures, also on a terminal");
}

void AddCompletion(CLI::App& app, CommandLine& line) {
  AddText(app, line, "completion", "Print the shell's completion of this program",
          kCompletionExamples,
          [&line](AdminPort&) -> CommandLine::Text { return CompletionScript(line.shell); })
      ->add_option("SHELL", line.shell, "The shell")
      ->type_name("SHELL")
      ->check(CLI::IsMember({"bash", "zsh"}))
      ->required();
}

void AddCommands(CLI::App& app, CommandLine& line) {
  AddOpen(app, line);
  AddCall(app, line);
  AddReadCommands(app, line);
  AddTop(app, line);
  AddWatch(app, line);
  AddKeyCommands(app, line);
  AddScopeOptions(
      *AddText(app, line, "clear", "Drop what is remembered", kClearExamples,
               [&line](AdminPort& admin) { return ClearCache(admin, line.options, line.scope); }),
      line);
  AddText(app, line, "close", "Close a session, whoever holds it", kCloseExamples,
          [&line](AdminPort& admin) { return CloseSession(admin, line.options, line.session_id); })
      ->add_option("SESSION", line.session_id, "Public id of the session")
      ->type_name("SESSION")
      ->required();
  AddCompletion(app, line);
  app.require_subcommand(1);
}

// "FORMAT:{table,json}" is how CLI11 says what an option takes.
ArgumentSyntax SyntaxOf(const CLI::Option& option) {
  ArgumentSyntax syntax;
  for (const std::string& name : option.get_snames()) syntax.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) syntax.names.push_back("--" + name);
  syntax.description = option.get_description();
  if (option.get_items_expected_max() == 0) return syntax;
  syntax.many = option.get_items_expected_max() > 1;
  const std::vector<std::string> type =
      absl::StrSplit(option.get_type_name(), absl::MaxSplits(':', 1));
  syntax.value = type[0];
  if (type.size() == 2 && absl::StartsWith(type[1], "{")) {
    syntax.choices = absl::StrSplit(type[1].substr(1, type[1].size() - 2), ',');
  }
  return syntax;
}

// "-o,--output {table,json}=table", without CLI11's words on what else an option needs.
class HelpFormatter final : public CLI::Formatter {
 public:
  std::string make_option_opts(const CLI::Option* option) const override {
    const ArgumentSyntax syntax = SyntaxOf(*option);
    const std::string variable =
        option->get_envname().empty() ? "" : absl::StrCat(" (", option->get_envname(), ")");
    if (syntax.value.empty()) return variable;
    const std::string value = syntax.choices.empty()
                                  ? syntax.value
                                  : absl::StrCat("{", absl::StrJoin(syntax.choices, ","), "}");
    const bool named = option->get_positional() && syntax.choices.empty();  // its name says it
    std::string text = named ? "" : absl::StrCat(" ", value, syntax.many ? " ..." : "");
    if (!option->get_default_str().empty()) absl::StrAppend(&text, "=", option->get_default_str());
    return text + variable;
  }
};

// gRPC does not tell that the other side wants TLS.
std::string Hint(const CommandLine& line, const absl::Status& status) {
  const bool cut_off = absl::IsUnavailable(status) && line.tls.empty() &&
                       !absl::StartsWith(status.message(), kLostTheSession) &&
                       absl::StrContains(status.message(), "Socket closed");
  return cut_off ? "; does that port want TLS? See --tls-ca" : "";
}

CommandSyntax SyntaxOf(const CLI::App& app) {
  CommandSyntax syntax{app.get_name(), app.get_description()};
  for (const CLI::Option* option : app.get_options()) {
    (option->get_positional() ? syntax.positionals : syntax.options).push_back(SyntaxOf(*option));
  }
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    syntax.commands.push_back(SyntaxOf(*sub));
  }
  return syntax;
}

int PrintCandidates(const CLI::App& app, const CommandLine& line, std::vector<std::string> words) {
  const Candidates found =
      Complete(SyntaxOf(app), std::move(words), [&line](const auto& value, const auto& all) {
        return NamesFor(value, all, line.options.admin);
      });
  for (const std::string& each : found.lines) std::cout << each << "\n";
  return found.files ? kCompleteFiles : 0;
}

absl::Status RunCommand(CommandLine& line) {
  auto transport = MakeTransport(line.tls);
  if (!transport.ok()) return transport.status();
  line.options.transport = *std::move(transport);
  AdminPort admin(line.options.admin, line.options.timeout, line.options.transport);
  if (line.other) return line.other(admin);
  const CommandLine::Text text = line.text(admin);
  if (!text.ok()) return text.status();
  std::cout << *text;
  return absl::OkStatus();
}

int Run(int argc, char** argv) {
  CommandLine line;
  CLI::App app("Sessions and caches of a memod server.", "memoctl");
  app.formatter(std::make_shared<HelpFormatter>());  // of all commands that are added below
  app.footer(kExamples);
  AddCommonOptions(app, line);
  AddTlsOptions(app, line.tls);
  AddCommands(app, line);
  if (argc > 1 && std::string(argv[1]) == "__complete") {
    return PrintCandidates(app, line, {argv + 2, argv + argc});
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kMisused;
  }
  const absl::Status status = RunCommand(line);
  if (status.ok()) return 0;
  std::cerr << "memoctl: " << absl::StatusCodeToString(status.code()) << ": "
            << Printable(std::string(status.message())) << Hint(line, status) << std::endl;
  return IsMisuse(status) ? kMisused : kRefused;
}

}  // namespace
}  // namespace memod

int main(int argc, char** argv) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  return memod::Run(argc, argv);
}
