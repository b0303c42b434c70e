// What a unary call costs beside a bare gRPC callback service that answers the same bytes: two
// server processes on loopback, measured in turn by one client.
//
//   row 1, 3   hits, 64 callers: calls per second, and the server's CPU time for each
//   row 2      latency of a hit, one caller
//   row 10     hits with large answers, 8 callers
//   row 13     calls that compute: a key never seen before each time, a method that does nothing;
//              the server's CPU time for each, 64 callers
//
// The client is one thread on a completion queue that neither builds nor reads messages: the
// cheapest that gRPC can be, so that the servers are what limits.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "echo.pb.h"
#include "echo_server.h"
#include "memo/v1/session.grpc.pb.h"
#include "runner.h"
#include "server_process.h"

namespace memod::benchmark {
namespace {

using Steady = std::chrono::steady_clock;

constexpr uint64_t kKeys = 128;  // as many as a method remembers unless told otherwise
constexpr uint64_t kNeverAgain = UINT64_MAX;

grpc::ByteBuffer Request(uint64_t key) {
  EchoRequest request;
  request.set_key(absl::StrFormat("%0*d", kKeyBytes, key));
  const grpc::Slice slice(request.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

// One of the two servers, and a client of it.
class Side {
 public:
  Side(const char* serve, int answer_bytes, uint64_t keys, const Options& options)
      : server_(serve, options.server_cpu, std::to_string(answer_bytes).c_str()),
        channel_(grpc::CreateChannel(server_.target(), grpc::InsecureChannelCredentials())),
        stub_(channel_),
        answer_bytes_(static_cast<size_t>(answer_bytes)),
        keys_(keys) {
    if (serve == kServeMemod) OpenSession();
    if (keys == kNeverAgain) return;
    for (uint64_t key = 0; key < keys; ++key) requests_.push_back(Request(key));
  }
  ~Side() { holding_.TryCancel(); }

  double CpuSeconds() const { return benchmark::CpuSeconds(server_.pid()); }

  std::unique_ptr<grpc::GenericClientAsyncResponseReader> Call(grpc::ClientContext& context,
                                                               grpc::CompletionQueue& queue) {
    if (!handle_.empty()) context.AddMetadata("memo-session", handle_);
    const uint64_t key = next_++;
    auto call = stub_.PrepareUnaryCall(&context, "/memod.benchmark.Echo/Get",
                                       keys_ == kNeverAgain ? Request(key) : requests_[key % keys_],
                                       &queue);
    call->StartCall();
    return call;
  }
  // Ends the program unless the call went well.
  void Check(const grpc::Status& status, const grpc::ByteBuffer& answer) const {
    if (status.ok() && answer.Length() == answer_bytes_) return;
    std::fprintf(stderr, "call failed: %s\n", status.error_message().c_str());
    std::exit(1);
  }

 private:
  void OpenSession() {
    memo::v1::OpenSessionRequest open;
    open.mutable_state()->PackFrom(EchoRequest());
    memo::v1::OpenSessionResponse opened;
    stream_ = memo::v1::SessionService::NewStub(channel_)->OpenSession(&holding_, open);
    if (!stream_->Read(&opened)) std::exit(1);
    handle_ = opened.opened().handle();
  }

  ServerProcess server_;
  std::shared_ptr<grpc::Channel> channel_;
  grpc::GenericStub stub_;
  const size_t answer_bytes_;
  const uint64_t keys_;
  std::vector<grpc::ByteBuffer> requests_;  // by key
  uint64_t next_ = 0;
  std::string handle_;  // of memod's session
  grpc::ClientContext holding_;
  std::unique_ptr<grpc::ClientReader<memo::v1::OpenSessionResponse>> stream_;
};

// One caller: starts its next call as soon as one is answered.
class Caller {
 public:
  Caller(Side& side, grpc::CompletionQueue& queue) : side_(side), queue_(queue) {}

  void Start() {
    context_.emplace();
    answer_.Clear();
    begun_ = Steady::now();
    call_ = side_.Call(*context_, queue_);
    call_->Finish(&answer_, &status_, this);
  }
  // How long the call took that the queue says has ended.
  Steady::duration Ended() const {
    side_.Check(status_, answer_);
    return Steady::now() - begun_;
  }

 private:
  Side& side_;
  grpc::CompletionQueue& queue_;
  std::optional<grpc::ClientContext> context_;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> call_;
  grpc::ByteBuffer answer_;
  grpc::Status status_;
  Steady::time_point begun_;
};

struct Figures {
  double calls_per_second;
  double cpu_micros_per_call;
  double p50_micros, p99_micros;
};

double Micros(Steady::duration d) { return std::chrono::duration<double, std::micro>(d).count(); }

Figures Measure(Side& side, int callers, double seconds) {
  grpc::CompletionQueue queue;
  std::deque<Caller> all;
  for (int i = 0; i < callers; ++i) all.emplace_back(side, queue);
  std::vector<Steady::duration> took;
  const double cpu = side.CpuSeconds();
  const auto begin = Steady::now();
  const auto end =
      begin + std::chrono::duration_cast<Steady::duration>(std::chrono::duration<double>(seconds));
  for (Caller& caller : all) caller.Start();
  void* tag;
  bool ok;
  for (int busy = callers; busy > 0 && queue.Next(&tag, &ok);) {
    auto* caller = static_cast<Caller*>(tag);
    took.push_back(caller->Ended());
    Steady::now() < end ? caller->Start() : static_cast<void>(--busy);
  }
  const double calls = static_cast<double>(took.size());
  const double total = Micros(Steady::now() - begin) / 1e6;
  std::sort(took.begin(), took.end());
  return {.calls_per_second = calls / total,
          .cpu_micros_per_call = (side.CpuSeconds() - cpu) * 1e6 / calls,
          .p50_micros = Micros(took[took.size() / 2]),
          .p99_micros = Micros(took[took.size() * 99 / 100])};
}

// Both servers in turn; `print(memod, bare)` tells of each pair.
template <typename Print>
void Compare(const Options& options, int answer_bytes, uint64_t keys, int callers, Print print) {
  Side bare(kServeBare, answer_bytes, keys, options);
  Side memod(kServeMemod, answer_bytes, keys, options);
  for (Side* side : {&bare, &memod}) {
    Measure(*side, callers, options.seconds / 4);  // connections, and the misses
  }
  for (int round = 0; round < options.rounds; ++round) {
    const Figures of_bare = Measure(bare, callers, options.seconds);
    const Figures of_memod = Measure(memod, callers, options.seconds);
    print(of_memod, of_bare);
  }
}

void Print(const char* row, const char* figure, double memod, double bare) {
  PrintPair(row, figure, memod, bare, "bare gRPC");
}

void Run(const Options& options) {
  if (options.client_cpu >= 0) PinTo(options.client_cpu);
  if (options.Wants("1") || options.Wants("3")) {
    Compare(options, 64, kKeys, 64, [](const Figures& memod, const Figures& bare) {
      Print("1", "hits/s", memod.calls_per_second, bare.calls_per_second);
      Print("3", "server CPU us/hit", memod.cpu_micros_per_call, bare.cpu_micros_per_call);
    });
  }
  if (options.Wants("2")) {
    Compare(options, 64, kKeys, 1, [](const Figures& memod, const Figures& bare) {
      Print("2", "p50 us", memod.p50_micros, bare.p50_micros);
      Print("2", "p99 us", memod.p99_micros, bare.p99_micros);
    });
  }
  if (options.Wants("10")) {
    const auto large = [&](int bytes, const char* figure) {
      Compare(options, bytes, 8, 8, [&](const Figures& memod, const Figures& bare) {
        Print("10", figure, memod.calls_per_second, bare.calls_per_second);
      });
    };
    large(64 << 10, "hits/s, 64 KiB");
    large(1 << 20, "hits/s, 1 MiB");
  }
  if (options.Wants("13")) {
    Compare(options, 64, kNeverAgain, 64, [](const Figures& memod, const Figures& bare) {
      Print("13", "us/call, empty method computed", memod.cpu_micros_per_call,
            bare.cpu_micros_per_call);
    });
  }
}

}  // namespace
}  // namespace memod::benchmark

int main(int argc, char** argv) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  memod::benchmark::ServeIfTold(argc, argv);
  memod::benchmark::Run(memod::benchmark::ParseOptions(argc, argv));
}
