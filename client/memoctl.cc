// memoctl: sessions and caches of a memod server, from the command line.
#include <CLI/CLI.hpp>
#include <functional>
#include <iostream>
#include <memory>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "memod/client/commands.h"

namespace memod {
namespace {

constexpr int kRefused = 1;  // the server said no, or nothing
constexpr int kMisused = 2;

constexpr char kExamples[] = R"(
Examples:
  memoctl open memo.examples.v1.SlowAdderState delay=2s
  memoctl info
  memoctl sessions -o json | jq -r '.sessions[].session_id'

The server is asked at two ports: `open` calls the data port (--server), all others the admin port
(--admin). Exit codes: 0 fine; 1 the server said no or cannot be reached; 2 wrong usage.)";

constexpr char kOpenExamples[] = R"(
Examples:
  memoctl open                                   a session without an instance
  memoctl open memo.examples.v1.SlowAdderState delay=0.5s
  memoctl open memo.examples.v1.DatasetState csv=@tests/data/seattle-weather.csv
  memoctl open memo.examples.v1.SlowAdderState --state '{"delay": "2s"}'
  memoctl open memo.examples.v1.SlowAdderState --state @state.json

Send the handle as metadata `memo-session` with your calls. It is a secret: whoever has it is the
session. The session ends with this command, however that ends.)";

constexpr char kInfoExamples[] = R"(
Examples:
  memoctl info                                   the whole server
  memoctl info --session s1
  memoctl info --method memo.examples.v1.SlowAdder/Calculate
  memoctl info -o json | jq .total.hits)";

constexpr char kSessionsExamples[] = R"(
Examples:
  memoctl sessions
  memoctl sessions -o json | jq '[.sessions[].total.bytes] | add')";

constexpr char kMethodsExamples[] = R"(
Examples:
  memoctl methods
  memoctl methods -o json | jq '.methods[] | {method, ttl: .policy.ttl}')";

constexpr char kClearExamples[] = R"(
Examples:
  memoctl clear                                  everything
  memoctl clear --session s1
  memoctl clear --session s1 --method memo.examples.v1.SlowAdder/Calculate)";

constexpr char kCloseExamples[] = R"(
Examples:
  memoctl close s1                               its holder is told ABORTED)";

// What the command line says.
struct CommandLine {
  CommandOptions options{"127.0.0.1:7070", "127.0.0.1:7071", absl::Seconds(30)};
  Scope scope;
  std::string session_id;
  StateText state;
  bool misused = false;  // found out later, by the command
  std::function<absl::Status()> command;
};

// "500ms", "5s", or seconds without a unit.
absl::Duration ParseTimeout(const std::string& text) {
  absl::Duration timeout;
  double seconds = 0;
  if (absl::SimpleAtod(text, &seconds)) {
    timeout = absl::Seconds(seconds);
  } else if (!absl::ParseDuration(text, &timeout)) {
    timeout = absl::ZeroDuration();
  }
  if (timeout <= absl::ZeroDuration() || timeout > absl::Hours(24)) {
    throw CLI::ValidationError("--timeout", "takes a time up to 24h, such as 500ms or 5s");
  }
  return timeout;
}

CLI::App* AddCommand(CLI::App& app, CommandLine& line, const std::string& name,
                     const std::string& description, const char* examples,
                     std::function<absl::Status()> command) {
  CLI::App* sub = app.add_subcommand(name, description);
  sub->footer(examples);
  sub->fallthrough();  // common options may stand after the subcommand
  sub->callback([&line, command = std::move(command)] { line.command = command; });
  return sub;
}

void AddCommonOptions(CLI::App& app, CommandLine& line) {
  app.add_option("--server", line.options.server, "Data port, where sessions are opened")
      ->envname("MEMOCTL_SERVER")
      ->capture_default_str();
  app.add_option("--admin", line.options.admin, "Admin port")
      ->envname("MEMOCTL_ADMIN")
      ->capture_default_str();
  app.add_option_function<std::string>(
         "--timeout",
         [&line](const std::string& text) { line.options.timeout = ParseTimeout(text); },
         "Longest wait for an answer")
      ->default_str("30s");
  app.add_option_function<std::string>(
         "-o,--output",
         [&line](const std::string& format) { line.options.json = format == "json"; },
         "table, or json: every field, in units of one")
      ->check(CLI::IsMember({"table", "json"}))
      ->default_str("table");
  app.set_version_flag("--version", "memoctl " MEMOD_VERSION);
}

void AddScopeOptions(CLI::App& sub, CommandLine& line) {
  sub.add_option("--session", line.scope.session_id, "Public id of a session; default: all");
  sub.add_option("--method", line.scope.method, "Full name, Service/Method; default: all");
}

void AddOpen(CLI::App& app, CommandLine& line) {
  CLI::App* open = AddCommand(
      app, line, "open", "Open a session, print its handle, and hold it until Ctrl-C",
      kOpenExamples, [&line] { return HoldSession(line.options, line.state, &line.misused); });
  CLI::Option* type =
      open->add_option("TYPE", line.state.type, "Type of the state; default: no instance");
  open->add_option("FIELD=VALUE", line.state.fields,
                   "A field of the state; FIELD=@FILE: the file's text")
      ->needs(type);
  open->add_option("--state", line.state.json, "The state as JSON, or @FILE")->needs(type);
}

void AddCommands(CLI::App& app, CommandLine& line) {
  AddOpen(app, line);
  AddScopeOptions(*AddCommand(app, line, "info", "Show cache_info", kInfoExamples,
                              [&line] { return ShowCacheInfo(line.options, line.scope); }),
                  line);
  AddCommand(app, line, "sessions", "List the open sessions", kSessionsExamples,
             [&line] { return ListSessions(line.options); });
  AddCommand(app, line, "methods", "List the memoized methods and their policies", kMethodsExamples,
             [&line] { return ListMethods(line.options); });
  AddScopeOptions(*AddCommand(app, line, "clear", "Drop what is remembered", kClearExamples,
                              [&line] { return ClearCache(line.options, line.scope); }),
                  line);
  AddCommand(app, line, "close", "Close a session, whoever holds it", kCloseExamples,
             [&line] { return CloseSession(line.options, line.session_id); })
      ->add_option("SESSION", line.session_id, "Public id of the session")
      ->required();
  app.require_subcommand(1);
}

int Run(int argc, char** argv) {
  CommandLine line;
  CLI::App app("Sessions and caches of a memod server.", "memoctl");
  app.footer(kExamples);
  AddCommonOptions(app, line);
  AddCommands(app, line);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kMisused;
  }
  const absl::Status status = line.command();
  if (status.ok()) return 0;
  std::cerr << "memoctl: " << absl::StatusCodeToString(status.code()) << ": " << status.message()
            << std::endl;
  return line.misused ? kMisused : kRefused;
}

}  // namespace
}  // namespace memod

int main(int argc, char** argv) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  return memod::Run(argc, argv);
}
