// Row 12: 10,000 equal calls at once on a method that takes 100 ms. How often it is computed, and the
// time until the last call has its answer, beside 100 ms and the time of as many hits.
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <future>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "examples_client.h"
#include "memo/examples/v1/slow_adder.grpc.pb.h"
#include "runner.h"

namespace memod::benchmark {
namespace {

namespace v1 = memo::examples::v1;

constexpr int kCalls = 10'000;
constexpr double kDelayMillis = 100;

struct Call {
  grpc::ClientContext context;
  v1::CalculateResponse response;
};

// Until the last one has its answer.
double MillisOfCalls(v1::SlowAdder::Stub& stub, double number) {
  v1::CalculateRequest request;
  request.add_numbers(number);
  std::vector<Call> calls(kCalls);
  std::atomic<int> left = kCalls;
  std::promise<void> all;
  const auto begin = std::chrono::steady_clock::now();
  for (Call& call : calls) {
    stub.async()->Calculate(&call.context, &request, &call.response, [&](grpc::Status status) {
      Check(status);
      if (--left == 0) all.set_value();
    });
  }
  all.get_future().wait();
  const double millis = MillisSince(begin);
  for (const Call& call : calls) {
    if (call.response.sum() != number) Fail("a wrong answer");
  }
  return millis;
}

int64_t Computations(const SessionHandle& session) {
  const auto info = session.GetCacheInfo();
  if (!info.ok()) Fail("no cache info");
  return info->total().computations();
}

void Compare(const Options& options) {
  const Client client = ConnectTo(options);
  v1::SlowAdderState state;
  state.mutable_delay()->set_nanos(static_cast<int>(kDelayMillis * 1e6));
  const SessionHandle session = Open(client, state);
  const auto stub = v1::SlowAdder::NewStub(session.channel());
  for (int round = 0; round < options.rounds; ++round) {
    const int64_t before = Computations(session);
    const double computed = MillisOfCalls(*stub, round);
    const int64_t computations = Computations(session) - before;
    const double hits = MillisOfCalls(*stub, round);
    if (Computations(session) != before + computations) Fail("what were to be hits computed");
    PrintPair("12", "computations", static_cast<double>(computations), 1, "one");
    PrintPair("12", "ms", computed, kDelayMillis + hits, "100 ms + 10,000 hits");
  }
}

}  // namespace
}  // namespace memod::benchmark

int main(int argc, char** argv) {
  using namespace memod::benchmark;
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  const Options options = ParseOptions(argc, argv);
  PinTo(options.client_cpu);
  Compare(options);
}
