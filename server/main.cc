#include "memod/server/main.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <grpcpp/grpcpp.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <semaphore>
#include <string>
#include <string_view>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "memod/server/config.h"
#include "memod/server/logging.h"
#include "memod/server/server.h"
#include "memod/server/tls.h"

namespace memod {
namespace {

constexpr int kOk = 0;
constexpr int kFailed = 1;
constexpr int kUsage = 2;

// How much longer than drain_timeout the process may live.
constexpr Duration kGrace = std::chrono::seconds(1);
constexpr Duration kRepeats = std::chrono::seconds(1);
constexpr Duration kLastLine = std::chrono::milliseconds(100);

constexpr char kExamples[] = R"(
Examples:
  memod                                        serve on the default ports
  memod --config /etc/memod.toml --log.format json
  MEMOD_CACHE_MAX_BYTES=4GiB memod
  memod --check-config memod.toml              exit 0 if it is right, else say what is not
  memod healthcheck                            exit 0 if the server on the default port serves)";

int Fail(int code, const absl::Status& status) {
  std::fprintf(stderr, "memod: %s\n", std::string(status.message()).c_str());
  return code;
}

// Every connection is a file, and the default of 1024 is soon used up.
void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// Where gRPC could not accept a connection, as when files have run out, it never takes another one
// on that port (CVE-2023-4785, not fixed in gRPC 1.51): memod then stops, as a failure, so that its
// clients go elsewhere and whoever supervises it starts it anew.
std::atomic<bool> port_lost = false;

// What gRPC has to say becomes lines of our log.
void LogFromGrpc(gpr_log_func_args* args) {
  const LogLevel level = args->severity == GPR_LOG_SEVERITY_ERROR  ? LogLevel::warn
                         : args->severity == GPR_LOG_SEVERITY_INFO ? LogLevel::info
                                                                   : LogLevel::debug;
  Log(level, args->message, {{"from", "grpc"}});
  const bool not_accepted = std::string_view(args->message).starts_with("Failed accept4");
  if (not_accepted && !port_lost.exchange(true)) kill(getpid(), SIGTERM);
}

// The same for protobuf, which complains of clients' messages: they are told it in an answer.
void LogFromProtobuf(google::protobuf::LogLevel level, const char*, int,
                     const std::string& message) {
  Log(level == google::protobuf::LOGLEVEL_FATAL ? LogLevel::err : LogLevel::debug, message,
      {{"from", "protobuf"}});
}

int Healthcheck(const Config& config) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);  // it asks the machine it is on
  auto stub = grpc::health::v1::Health::NewStub(grpc::CreateCustomChannel(
      config.server.listen, HealthcheckCredentials(config.server.tls), arguments));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(3));
  grpc::health::v1::HealthCheckResponse response;
  const grpc::Status status = stub->Check(&context, {}, &response);
  if (!status.ok()) {
    return Fail(kFailed, absl::UnavailableError(
                             absl::StrCat(config.server.listen, ": ", status.error_message())));
  }
  const bool serving = response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
  std::puts(serving ? "serving" : "not serving");
  return serving ? kOk : kFailed;
}

// Ends the process, whatever hangs. That may be whoever reads the log, so its last line is given no
// more than a moment.
[[noreturn]] void Leave(int code, const char* last_line) {
  auto& logged = *new std::binary_semaphore(0);
  std::thread([&logged, last_line] {
    Log(LogLevel::warn, last_line);
    logged.release();
  }).detach();
  [[maybe_unused]] const bool told = logged.try_acquire_for(kLastLine);
  std::_Exit(code);
}

void StartWatchdog(Duration limit, int code) {
  std::thread([limit, code] {
    std::this_thread::sleep_for(limit);
    Leave(code, "not stopped in time, leaving without what still runs");
  }).detach();
}

// The first SIGTERM or SIGINT. One that comes while the server is still starting, which may wait for
// an upstream, ends the process at once: nothing is held for anybody yet. So does a Ctrl-C of whoever
// does not want to wait for the drain.
class StopSignal {
 public:
  // Before the process has another thread, so that every thread leaves the signals to this one.
  // There for good: its thread waits as long as the process lives.
  explicit StopSignal(Duration drain_timeout) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    std::thread([this, signals, drain_timeout] {
      int signal = 0;
      sigwait(&signals, &signal);
      const bool starting = starting_;
      // What comes later does not change why it stops.
      exit_code_ = port_lost ? kFailed : kOk;
      StartWatchdog(starting ? kGrace : drain_timeout + kGrace, exit_code_);
      if (exit_code_ != kOk) {
        Log(LogLevel::err, "stopping, since a port takes no connections any more (see ulimit -n)");
      } else {
        Log(LogLevel::info, "stopping", {{"signal", signal == SIGTERM ? "SIGTERM" : "SIGINT"}});
      }
      if (starting) std::_Exit(exit_code_);
      come_.release();
      // Not SIGTERM: scripts repeat that until the process is gone. And the first Ctrl-C may come twice,
      // from the terminal and from a wrapper that hands it on.
      const Time repeats_until = Clock::now() + kRepeats;
      do {
        sigwait(&signals, &signal);
      } while (signal != SIGINT || Clock::now() < repeats_until);
      Leave(kFailed, "interrupted, leaving at once");
    }).detach();
  }

  // Returns what the process is to end with.
  int AwaitOnceStarted() {
    starting_ = false;
    come_.acquire();
    return exit_code_;
  }

 private:
  std::atomic<bool> starting_ = true;
  std::atomic<int> exit_code_ = kOk;
  std::binary_semaphore come_{0};
};

int Serve(const Config& config, const Registry& registry) {
  std::signal(SIGPIPE, SIG_IGN);
  RaiseFileLimit();
  InitLogging(config.log.level, config.log.format);
  static StopSignal& stop = *new StopSignal(config.server.drain_timeout);
  gpr_set_log_function(LogFromGrpc);
  google::protobuf::SetLogHandler(LogFromProtobuf);
  for (const std::string& name : config.ignored_environment) {
    Log(LogLevel::warn, "environment variable is no key of memod's, ignored", {{"name", name}});
  }
  auto server = Server::Start(config, registry);
  if (!server.ok()) {
    return Fail(absl::IsInvalidArgument(server.status()) ? kUsage : kFailed, server.status());
  }
  const int exit_code = stop.AwaitOnceStarted();
  (*server)->Drain();
  server->reset();
  Log(LogLevel::info, "stopped");
  return exit_code;
}

}  // namespace

int Main(int argc, char** argv, const Registry& registry) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  CLI::App app("memod: a memoizing gRPC server. Computations behind an LRU cache per session.");
  app.footer(kExamples);
  app.set_version_flag("--version", "memod " MEMOD_VERSION);
  ConfigSources sources;
  sources.environment = MemodEnvironment();
  sources.environment.erase("MEMOD_CONFIG");  // an option of main's, below
  std::string file, check;
  app.add_option("--config", file, "TOML file to read the configuration from")
      ->envname("MEMOD_CONFIG");
  app.add_option("--check-config", check,
                 "Read this TOML file, say what is wrong with it, and exit");
  std::map<std::string, std::string> flags;
  for (const ConfigKey& key : ConfigKeys()) {
    app.add_option("--" + key.name, flags[key.name], key.help)->group("Configuration");
  }
  CLI::App* healthcheck =
      app.add_subcommand("healthcheck", "Ask the server on server.listen whether it serves");
  healthcheck->fallthrough();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kOk : kUsage;
  }
  for (const auto& [name, value] : flags) {
    if (app.count("--" + name) > 0) sources.flags.emplace_back(name, value);
  }
  if (!check.empty()) file = check;
  if (!file.empty()) sources.toml_file = file;
  const auto config = LoadConfig(sources);
  if (!config.ok()) return Fail(kUsage, config.status());
  if (!check.empty()) {
    const absl::Status fits = Server::Check(*config, registry);
    if (!fits.ok()) return Fail(kUsage, fits);
    std::printf("%s: fine\n", check.c_str());
    return kOk;
  }
  return healthcheck->parsed() ? Healthcheck(*config) : Serve(*config, registry);
}

}  // namespace memod
