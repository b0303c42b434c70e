#include "memod/server/main.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <grpcpp/grpcpp.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "memod/server/config.h"
#include "memod/server/logging.h"
#include "memod/server/server.h"
#include "memod/server/stop_signal.h"
#include "memod/server/tls.h"

namespace memod {
namespace {

constexpr int kOk = 0;
constexpr int kFailed = 1;
constexpr int kUsage = 2;

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

// Serve's, for what calls a plain function.
StopSignal* stop = nullptr;

// What gRPC has to say becomes lines of our log.
void LogFromGrpc(gpr_log_func_args* args) {
  const LogLevel level = args->severity == GPR_LOG_SEVERITY_ERROR  ? LogLevel::warn
                         : args->severity == GPR_LOG_SEVERITY_INFO ? LogLevel::info
                                                                   : LogLevel::debug;
  Log(level, args->message, {{"from", "grpc"}});
  // Where gRPC could not accept a connection, as when files have run out, it never takes another one
  // on that port (CVE-2023-4785, not fixed in gRPC 1.51). Clients are to go elsewhere then.
  if (std::string_view(args->message).starts_with("Failed accept4")) {
    stop->Fail("a port takes no connections any more (see ulimit -n)");
  }
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

int Serve(const Config& config, const Registry& registry) {
  std::signal(SIGPIPE, SIG_IGN);
  RaiseFileLimit();
  InitLogging(config.log.level, config.log.format);
  stop = new StopSignal(config.server.drain_timeout);
  gpr_set_log_function(LogFromGrpc);
  google::protobuf::SetLogHandler(LogFromProtobuf);
  for (const std::string& name : config.ignored_environment) {
    Log(LogLevel::warn, "environment variable is no key of memod's, ignored", {{"name", name}});
  }
  auto server = Server::Start(config, registry);
  if (!server.ok()) {
    return Fail(absl::IsInvalidArgument(server.status()) ? kUsage : kFailed, server.status());
  }
  const int exit_code = stop->AwaitOnceStarted();
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
