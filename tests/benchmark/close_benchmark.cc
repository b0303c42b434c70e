// What closing a session of a million entries does to the hits of another one, and how long its
// memory takes to come back: memod as a process of its own, on one CPU, asked over gRPC.
//
// Prints, for each round: the p99 of hits while the session closes beside that before it, and the
// seconds until nine tenths of its memory are the system's again beside the one that it may take.
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "echo.grpc.pb.h"
#include "memo/v1/session.grpc.pb.h"
#include "memod/server/server.h"
#include "runner.h"
#include "server_process.h"

namespace memod::benchmark {
namespace {

using Steady = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr int kEntries = 1'000'000;
constexpr int kHotKeys = 128;
constexpr int kKeyBytes = 14;  // with its tag and length, a request of 16 bytes
constexpr int kValueBytes = 62;
constexpr double kAllowed = 1;  // second until the memory is back
constexpr double kGiveUp = 5;
constexpr auto kShortest = std::chrono::milliseconds(200);  // to measure hits

constexpr std::string_view kFill = "fill";

std::string Key(int i) {
  char key[kKeyBytes + 1];
  std::snprintf(key, sizeof(key), "%0*d", kKeyBytes, i);
  return key;
}

// The server.
class Hosted {
 public:
  static absl::StatusOr<std::unique_ptr<Hosted>> Create(const EchoRequest&) {
    return std::make_unique<Hosted>();
  }
  // Any key is answered with as many bytes; kFill calls all others first.
  absl::StatusOr<EchoResponse> Get(const EchoRequest& request, CallContext& context) const {
    for (int i = 0; request.key() == kFill && i < kEntries; ++i) {
      EchoRequest nested;
      nested.set_key(Key(i));
      if (auto answer = context.Call<&Hosted::Get>(nested); !answer.ok()) return answer;
    }
    EchoResponse response;
    response.set_value(std::string(kValueBytes, 'v'));
    return response;
  }
};

void Serve() {
  Registry registry;
  registry.Class<&Hosted::Create>("memod.benchmark.Echo")
      .Method<&Hosted::Get>("Get", {.max_entries = std::nullopt});
  Config config;
  config.server.listen = config.admin.listen = "127.0.0.1:0";
  config.admin.http = "";
  InitLogging(LogLevel::off, LogFormat::kText);
  const auto server = Server::Start(config, registry);
  if (!server.ok()) std::exit(1);
  ServeUntilStopped((*server)->port());
}

// The client.

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "close_benchmark: %s\n", what.c_str());
  std::exit(1);
}

double ResidentMiB(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/statm"));
  double size = 0, resident = 0;
  if (!(file >> size >> resident)) Fail("the server is gone");
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

class Session {
 public:
  explicit Session(const std::shared_ptr<grpc::Channel>& channel) : echo_(Echo::NewStub(channel)) {
    memo::v1::OpenSessionRequest open;
    open.mutable_state()->PackFrom(EchoRequest());
    stream_ = memo::v1::SessionService::NewStub(channel)->OpenSession(&context_, open);
    memo::v1::OpenSessionResponse opened;
    if (!stream_->Read(&opened)) Fail("no session");
    handle_ = opened.opened().handle();
  }
  // Closes it, as a client does that goes away.
  ~Session() {
    context_.TryCancel();
    stream_->Finish();
  }

  void Get(std::string_view key) {
    grpc::ClientContext context;
    context.AddMetadata("memo-session", handle_);
    EchoRequest request;
    request.set_key(std::string(key));
    EchoResponse response;
    const grpc::Status status = echo_->Get(&context, request, &response);
    if (!status.ok()) Fail(status.error_message());
  }

 private:
  std::unique_ptr<Echo::Stub> echo_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<memo::v1::OpenSessionResponse>> stream_;
  std::string handle_;
};

// Microseconds, of one hit after the other until told to stop.
class Hits {
 public:
  explicit Hits(Session& session) : thread_([this, &session] { Run(session); }) {}
  double P99() {
    stop_ = true;
    thread_.join();
    std::sort(micros_.begin(), micros_.end());
    return micros_[micros_.size() * 99 / 100];
  }

 private:
  void Run(Session& session) {
    for (int i = 0; !stop_; ++i) {
      const auto begin = Steady::now();
      session.Get(Key(i % kHotKeys));
      micros_.push_back(std::chrono::duration<double, std::micro>(Steady::now() - begin).count());
    }
  }

  std::atomic<bool> stop_{false};
  std::vector<double> micros_;
  std::thread thread_;
};

// Seconds until the server has no more than `resident` MiB; looks every few milliseconds.
double SecondsUntil(double resident, const ServerProcess& server) {
  const auto begin = Steady::now();
  Seconds passed{};
  do {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    passed = Steady::now() - begin;
  } while (ResidentMiB(server.pid()) > resident && passed.count() < kGiveUp);
  return passed.count();
}

void Measure(const Options& options) {
  const ServerProcess server("--serve", options.server_cpu);
  PinTo(options.client_cpu);
  const auto channel = grpc::CreateChannel(server.target(), grpc::InsecureChannelCredentials());
  Session other(channel);
  for (int i = 0; i < kHotKeys; ++i) other.Get(Key(i));
  const double empty = ResidentMiB(server.pid());
  for (int round = 0; round < options.rounds; ++round) {
    auto large = std::make_unique<Session>(channel);
    large->Get(kFill);
    const double full = ResidentMiB(server.pid());

    Hits before(other);
    std::this_thread::sleep_for(Seconds(options.seconds));
    const double p99_before = before.P99();

    Hits meanwhile(other);
    const auto begin = Steady::now();
    large.reset();
    const double freed = SecondsUntil(empty + (full - empty) / 10, server);
    std::this_thread::sleep_until(begin + kShortest);
    const double p99_meanwhile = meanwhile.P99();

    PrintPair("close", "p99 of hits while 1M entries close, us", p99_meanwhile, p99_before,
              "before");
    PrintPair("close", "seconds until the memory is back", freed, kAllowed, "allowed");
    std::fprintf(stderr, "%.0f MiB before, %.0f with a million entries, %.0f after %.3f s\n", empty,
                 full, ResidentMiB(server.pid()), freed);
  }
}

}  // namespace
}  // namespace memod::benchmark

int main(int argc, char** argv) {
  using namespace memod::benchmark;
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  if (argc > 1 && std::string_view(argv[1]) == "--serve") return Serve(), 0;
  Measure(ParseOptions(argc, argv));
}
