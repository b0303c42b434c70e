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
#include "echo_server.h"
#include "memo/v1/session.grpc.pb.h"
#include "runner.h"
#include "server_process.h"

namespace memod::benchmark {
namespace {

using Steady = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr int kEntries = 1'000'000;
constexpr uint64_t kHotKeys = 128;
constexpr double kAllowed = 1;  // second until the memory is back
constexpr double kGiveUp = 5;
constexpr Seconds kShortest(0.2);  // to measure hits

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
    for (uint64_t i = 0; !stop_;) {
      const auto begin = Steady::now();
      session.Get(Key(i++ % kHotKeys));
      micros_.push_back(std::chrono::duration<double, std::micro>(Steady::now() - begin).count());
    }
  }

  std::atomic<bool> stop_{false};
  std::vector<double> micros_;
  std::thread thread_;
};

// Seconds until the server has no more than `resident` MiB, and no longer than `most`. Looks every few
// milliseconds, which the hits that are measured meanwhile feel.
double SecondsUntil(double resident, const ServerProcess& server, double most) {
  const auto begin = Steady::now();
  Seconds passed{};
  do {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    passed = Steady::now() - begin;
  } while (ResidentMiB(server.pid()) > resident && passed.count() < most);
  return passed.count();
}

void Measure(const Options& options) {
  const ServerProcess server(kServeMemod, options.server_cpu);
  PinTo(options.client_cpu);
  const auto channel = grpc::CreateChannel(server.target(), grpc::InsecureChannelCredentials());
  Session other(channel);
  for (uint64_t i = 0; i < kHotKeys; ++i) other.Get(Key(i));
  const double empty = ResidentMiB(server.pid());
  for (int round = 0; round < options.rounds; ++round) {
    auto large = std::make_unique<Session>(channel);
    large->Get(FillKey(kEntries));
    const double full = ResidentMiB(server.pid());

    Hits before(other);
    SecondsUntil(0, server, options.seconds);
    const double p99_before = before.P99();

    Hits meanwhile(other);
    const auto begin = Steady::now();
    large.reset();
    const double freed = SecondsUntil(empty + (full - empty) / 10, server, kGiveUp);
    const Seconds passed = Steady::now() - begin;
    if (passed < kShortest) SecondsUntil(0, server, (kShortest - passed).count());
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
  ServeIfTold(argc, argv);
  Measure(ParseOptions(argc, argv));
}
