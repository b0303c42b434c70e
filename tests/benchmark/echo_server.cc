#include "echo_server.h"

#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "echo.grpc.pb.h"
#include "memod/server/server.h"
#include "server_process.h"

namespace memod::benchmark {
namespace {

constexpr int64_t kMaxSessions = 100'001;
constexpr char kFill[] = "fill ";

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
  absl::StatusOr<EchoResponse> Get(const EchoRequest& request, CallContext& context) const {
    int count = 0;
    if (absl::string_view key = request.key(); absl::ConsumePrefix(&key, kFill)) {
      if (!absl::SimpleAtoi(key, &count)) return absl::InvalidArgumentError("which number?");
    }
    for (int i = 0; i < count; ++i) {
      EchoRequest nested;
      nested.set_key(Key(static_cast<uint64_t>(i)));
      if (auto answer = context.Call<&HostedEcho::Get>(nested); !answer.ok()) return answer;
    }
    EchoResponse response;
    response.set_value(Value());
    return response;
  }
};

void ServeBare() {
  BareEcho service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  ServeUntilStopped(port);
  server->Shutdown();
}

void ServeMemod() {
  Registry registry;
  registry.Class<&HostedEcho::Create>("memod.benchmark.Echo")
      .Method<&HostedEcho::Get>("Get", {.max_entries = std::nullopt, .max_entry_bytes = 2 << 20});
  Config config;
  config.cache.max_bytes = std::nullopt;
  config.session.max = kMaxSessions;
  config.compute.queue = 100'000;
  config.server.listen = config.admin.listen = "127.0.0.1:0";
  config.admin.http = "";
  InitLogging(LogLevel::off, LogFormat::kText);
  const auto server = Server::Start(config, registry);
  if (!server.ok()) std::exit(1);
  ServeUntilStopped((*server)->port());
}

// The length of the one field that makes an answer of `message_bytes`.
int ValueBytes(int message_bytes) {
  // One byte of tag, and a length in groups of seven bits.
  int length_bytes = 1;
  while (message_bytes - 1 - length_bytes >= 1 << (7 * length_bytes)) ++length_bytes;
  return message_bytes - 1 - length_bytes;
}

}  // namespace

std::string Key(uint64_t number) { return absl::StrFormat("%014d", number); }
std::string FillKey(int count) { return absl::StrCat(kFill, count); }

void ServeIfTold(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  if (mode != kServeBare && mode != kServeMemod) return;
  Value().assign(ValueBytes(argc > 2 ? std::atoi(argv[2]) : 64), 'v');
  mode == kServeBare ? ServeBare() : ServeMemod();
  std::exit(0);
}

}  // namespace memod::benchmark
