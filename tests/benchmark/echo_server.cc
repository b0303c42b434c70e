#include "echo_server.h"

#include <grpcpp/grpcpp.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "echo.grpc.pb.h"
#include "memod/server/server.h"
#include "runner.h"

extern char** environ;

namespace memod::benchmark {
namespace {

constexpr char kServeBare[] = "--serve-bare";
constexpr char kServeMemod[] = "--serve-memod";

// What both answer; set before they serve.
std::string& Value() {
  static std::string& value = *new std::string;
  return value;
}

class BareEcho final : public Echo::CallbackService {
  grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* context, const EchoRequest*,
                                EchoResponse* response) override {
    response->set_value(Value());
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

class HostedEcho {
 public:
  static absl::StatusOr<std::unique_ptr<HostedEcho>> Create(const EchoRequest&) {
    return std::make_unique<HostedEcho>();
  }
  absl::StatusOr<EchoResponse> Get(const EchoRequest&) const {
    EchoResponse response;
    response.set_value(Value());
    return response;
  }
};

// Tells the port on standard output, serves until standard input ends.
void ServeUntilEof(int port) {
  std::printf("%d\n", port);
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
}

void ServeBare() {
  BareEcho service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  ServeUntilEof(port);
  server->Shutdown();
}

void ServeMemod() {
  Registry registry;
  registry.Class<&HostedEcho::Create>("memod.benchmark.Echo")
      .Method<&HostedEcho::Get>("Get", {.max_entry_bytes = 2 << 20});
  Config config;
  config.server.listen = config.admin.listen = "127.0.0.1:0";
  config.admin.http = "";
  InitLogging(LogLevel::off, LogFormat::kText);
  const auto server = Server::Start(config, registry);
  if (!server.ok()) std::exit(1);
  ServeUntilEof((*server)->port());
}

}  // namespace

int ValueBytes(int message_bytes) {
  // One byte of tag, and a length in groups of seven bits.
  int length_bytes = 1;
  while (message_bytes - 1 - length_bytes >= 1 << (7 * length_bytes)) ++length_bytes;
  return message_bytes - 1 - length_bytes;
}

EchoServer::EchoServer(EchoKind kind, int answer_bytes, int cpu) {
  int in[2], out[2];
  if (pipe(in) != 0 || pipe(out) != 0) std::abort();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  for (int fd : {in[0], in[1], out[0], out[1]}) posix_spawn_file_actions_addclose(&actions, fd);
  std::string mode = kind == EchoKind::kBare ? kServeBare : kServeMemod;
  std::string bytes = std::to_string(answer_bytes), on = std::to_string(cpu);
  char self[] = "/proc/self/exe";
  char* argv[] = {self, mode.data(), bytes.data(), on.data(), nullptr};
  if (posix_spawn(&pid_, self, &actions, nullptr, argv, environ) != 0) std::abort();
  posix_spawn_file_actions_destroy(&actions);
  close(in[0]);
  close(out[1]);
  stdin_ = in[1];
  FILE* lines = fdopen(out[0], "r");
  if (std::fscanf(lines, "%d", &port_) != 1) std::abort();
  std::fclose(lines);
}

EchoServer::~EchoServer() {
  close(stdin_);
  waitpid(pid_, nullptr, 0);
}

std::string EchoServer::target() const { return "127.0.0.1:" + std::to_string(port_); }

void ServeIfTold(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  if (mode != kServeBare && mode != kServeMemod) return;
  Value().assign(ValueBytes(argc > 2 ? std::atoi(argv[2]) : 64), 'v');
  if (argc > 3 && std::atoi(argv[3]) >= 0) PinTo(std::atoi(argv[3]));
  mode == kServeBare ? ServeBare() : ServeMemod();
  std::exit(0);
}

}  // namespace memod::benchmark
