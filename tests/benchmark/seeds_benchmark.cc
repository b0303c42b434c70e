// Row 15: the experiment that memod began with. A call that takes two seconds and one that takes its
// time computing, each made twice.
#include <grpcpp/grpcpp.h>

#include <chrono>

#include "absl/synchronization/mutex.h"
#include "examples_client.h"
#include "memo/examples/v1/dataset.grpc.pb.h"
#include "memo/examples/v1/slow_adder.grpc.pb.h"
#include "runner.h"

namespace memod::benchmark {
namespace {

namespace v1 = memo::examples::v1;

template <typename Call>
double Millis(const Call& call) {
  grpc::ClientContext context;
  const auto begin = std::chrono::steady_clock::now();
  Check(call(context));
  return MillisSince(begin);
}

void Calculate(const Client& client) {
  v1::SlowAdderState state;
  state.mutable_delay()->set_seconds(2);
  const SessionHandle session = Open(client, state);
  const auto stub = v1::SlowAdder::NewStub(session.channel());
  const auto call = [&stub](grpc::ClientContext& context) {
    v1::CalculateRequest request;
    v1::CalculateResponse response;
    for (double number : {1, 2, 3}) request.add_numbers(number);
    return stub->Calculate(&context, request, &response);
  };
  const double first = Millis(call), second = Millis(call);
  PrintPair("15", "ms, second call", second, first, "first call");
}

void Correlate(const Client& client) {
  const SessionHandle session = OpenWeather(client);
  const auto stub = v1::Dataset::NewStub(session.channel());
  const auto call = [&stub](grpc::ClientContext& context) {
    v1::CorrelateRequest request;
    v1::CorrelateResponse response;
    request.set_x("temp_max");
    request.set_y("wind");
    request.set_resamples(100'000);
    request.set_seed(42);
    return stub->Correlate(&context, request, &response);
  };
  const double computed = Millis(call), remembered = Millis(call);
  PrintPair("15", "ms, remembered", remembered, computed, "computed");
}

}  // namespace
}  // namespace memod::benchmark

int main(int argc, char** argv) {
  using namespace memod::benchmark;
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  const Options options = ParseOptions(argc, argv);
  PinTo(options.client_cpu);
  const memod::Client client = ConnectTo(options);
  for (int round = 0; round < options.rounds; ++round) {
    Calculate(client);
    Correlate(client);
  }
}
