// What a unary call costs beside a bare gRPC callback service that answers the same bytes: two
// server processes on loopback, measured in turn by one client.
//
//   row 1, 3   hits, 64 callers: calls per second, and the server's CPU time for each
//   row 2      latency of a hit, one caller
//   row 10     hits with large answers, 8 callers
//   row 13     calls that compute: a key never seen before each time, a method that does nothing;
//              the server's CPU time for each, 64 callers
//   sessions   hits of 10,000 of 100,000 sessions with 100 entries each, beside those of one session
//              with 10,000; both are memod
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
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "echo.grpc.pb.h"
#include "echo_server.h"
#include "memo/v1/session.grpc.pb.h"
#include "runner.h"
#include "server_process.h"

namespace memod::benchmark {
namespace {

using Steady = std::chrono::steady_clock;

constexpr uint64_t kKeys = 128;  // as many as a method remembers unless told otherwise

grpc::ByteBuffer Request(uint64_t key) {
  EchoRequest request;
  request.set_key(Key(key));
  const grpc::Slice slice(request.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

// One of the two servers, and a client of it.
class Side {
 public:
  // What is called: a key, with one of the sessions.
  struct Target {
    size_t session;
    uint64_t key;
  };

  Side(const char* serve, int answer_bytes, const Options& options)
      : server_(serve, options.server_cpu, std::to_string(answer_bytes).c_str()),
        channel_(grpc::CreateChannel(server_.target(), grpc::InsecureChannelCredentials())),
        stub_(channel_),
        answer_bytes_(static_cast<size_t>(answer_bytes)) {}

  // Further sessions, each with this many answers in it.
  void OpenSessions(size_t count, int entries) {
    const auto sessions = memo::v1::SessionService::NewStub(channel_);
    const auto echo = Echo::NewStub(channel_);
    memo::v1::LeaseSessionRequest lease;
    lease.mutable_state()->PackFrom(EchoRequest());
    lease.mutable_ttl()->set_seconds(3600);
    EchoRequest fill;
    fill.set_key(FillKey(entries));
    for (size_t i = 0; i < count; ++i) {
      grpc::ClientContext leasing, filling;
      memo::v1::LeaseSessionResponse leased;
      Check(sessions->LeaseSession(&leasing, lease, &leased));
      handles_.push_back(leased.handle());
      filling.AddMetadata("memo-session", handles_.back());
      EchoResponse response;
      if (entries > 0) Check(echo->Get(&filling, fill, &response));
    }
  }
  // What is called from now on, over and over; of no target: a key never seen before each time.
  void Aim(const std::vector<Target>& targets) {
    requests_.clear();
    for (const Target& target : targets)
      requests_.emplace_back(target.session, Request(target.key));
  }

  double CpuSeconds() const { return benchmark::CpuSeconds(server_.pid()); }

  std::unique_ptr<grpc::GenericClientAsyncResponseReader> Call(grpc::ClientContext& context,
                                                               grpc::CompletionQueue& queue) {
    const uint64_t i = next_++;
    const auto& [session, request] =
        requests_.empty() ? std::pair(size_t{0}, Request(i)) : requests_[i % requests_.size()];
    if (!handles_.empty()) context.AddMetadata("memo-session", handles_[session]);
    auto call = stub_.PrepareUnaryCall(&context, "/memod.benchmark.Echo/Get", request, &queue);
    call->StartCall();
    return call;
  }
  // Ends the program unless the call went well.
  void Check(const grpc::Status& status, const grpc::ByteBuffer& answer) const {
    Check(status);
    if (answer.Length() != answer_bytes_) Check({grpc::StatusCode::UNKNOWN, "of another size"});
  }

 private:
  static void Check(const grpc::Status& status) {
    if (status.ok()) return;
    std::fprintf(stderr, "call failed: %s\n", status.error_message().c_str());
    std::exit(1);
  }

  ServerProcess server_;
  std::shared_ptr<grpc::Channel> channel_;
  grpc::GenericStub stub_;
  const size_t answer_bytes_;
  std::vector<std::string> handles_;
  std::vector<std::pair<size_t, grpc::ByteBuffer>> requests_;
  uint64_t next_ = 0;
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

// Keys of the first session.
std::vector<Side::Target> Keys(uint64_t count) {
  std::vector<Side::Target> targets;
  for (uint64_t key = 0; key < count; ++key) targets.push_back({0, key});
  return targets;
}

// Both sides in turn; `print(memod, other)` tells of each pair.
template <typename Print>
void Alternate(const Options& options, Side& memod, Side& other, int callers, Print print) {
  for (Side* side : {&other, &memod}) {
    Measure(*side, callers, options.seconds / 4);  // connections, and the misses
  }
  for (int round = 0; round < options.rounds; ++round) {
    const Figures of_other = Measure(other, callers, options.seconds);
    const Figures of_memod = Measure(memod, callers, options.seconds);
    print(of_memod, of_other);
  }
}

// Both servers in turn, called for these keys.
template <typename Print>
void Compare(const Options& options, int answer_bytes, uint64_t keys, int callers, Print print) {
  Side bare(kServeBare, answer_bytes, options);
  Side memod(kServeMemod, answer_bytes, options);
  memod.OpenSessions(1, 0);
  for (Side* side : {&bare, &memod}) side->Aim(Keys(keys));
  Alternate(options, memod, bare, callers, print);
}

void Print(const char* row, const char* figure, double memod, double bare) {
  PrintPair(row, figure, memod, bare, "bare gRPC");
}

void AmongSessions(const Options& options) {
  constexpr size_t kSessions = 100'000;
  constexpr int kEntries = 100;
  constexpr size_t kHot = 10'000;
  Side one(kServeMemod, 64, options), many(kServeMemod, 64, options);
  one.OpenSessions(1, kHot);
  many.OpenSessions(kSessions, kEntries);
  std::vector<Side::Target> of_one = Keys(kHot), of_many;
  std::shuffle(of_one.begin(), of_one.end(), std::mt19937(1));
  for (const auto& [_, key] : of_one) of_many.push_back({key * (kSessions / kHot), key % kEntries});
  one.Aim(of_one);
  many.Aim(of_many);
  Alternate(options, many, one, 1, [](const Figures& ours, const Figures& alone) {
    PrintPair("sessions", "p50 us, one caller", ours.p50_micros, alone.p50_micros, "one session");
  });
  Alternate(options, many, one, 64, [](const Figures& ours, const Figures& alone) {
    PrintPair("sessions", "server CPU us/hit, 64 callers", ours.cpu_micros_per_call,
              alone.cpu_micros_per_call, "one session");
  });
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
    Compare(options, 64, 0, 64, [](const Figures& memod, const Figures& bare) {
      Print("13", "us/call, empty method computed", memod.cpu_micros_per_call,
            bare.cpu_micros_per_call);
    });
  }
  if (options.Wants("sessions")) AmongSessions(options);
}

}  // namespace
}  // namespace memod::benchmark

int main(int argc, char** argv) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  memod::benchmark::ServeIfTold(argc, argv);
  memod::benchmark::Run(memod::benchmark::ParseOptions(argc, argv));
}
