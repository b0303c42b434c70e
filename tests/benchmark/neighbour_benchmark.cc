// Row 14: the p99 of one caller's hits while another session computes without a pause, beside the same
// without it.
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <semaphore>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "examples_client.h"
#include "memo/examples/v1/dataset.grpc.pb.h"
#include "memo/examples/v1/slow_adder.grpc.pb.h"
#include "runner.h"

namespace memod::benchmark {
namespace {

namespace v1 = memo::examples::v1;
using Steady = std::chrono::steady_clock;

// Keeps every thread of memod's pool computing, and some calls waiting for one.
class Neighbour {
 public:
  static constexpr int kCalls = 64;

  explicit Neighbour(const Client& client)
      : session_(OpenWeather(client)), stub_(v1::Dataset::NewStub(session_.channel())) {
    for (int i = 0; i < kCalls; ++i) Start();
  }
  // Until nothing of it is computed any more.
  ~Neighbour() {
    stopped_ = true;
    for (int i = 0; i < kCalls; ++i) ended_.acquire();
  }

  // Every thread has gone on to its next call since this was made.
  bool computes() const { return computed_ > 2 * kThreads; }
  int computed() const { return computed_; }

 private:
  static constexpr int kThreads = 2;

  struct Call {
    grpc::ClientContext context;
    v1::CorrelateRequest request;
    v1::CorrelateResponse response;
  };

  // Some 10 ms on a thread of the pool; never the same again.
  void Start() {
    auto* call = new Call;
    call->request.set_x("temp_max");
    call->request.set_y("wind");
    call->request.set_resamples(1000);
    call->request.set_seed(next_++);
    stub_->async()->Correlate(&call->context, &call->request, &call->response,
                              [this, call](grpc::Status status) {
                                Check(status);
                                delete call;
                                ++computed_;
                                stopped_ ? ended_.release() : Start();
                              });
  }

  const SessionHandle session_;
  const std::unique_ptr<v1::Dataset::Stub> stub_;
  std::atomic<uint64_t> next_ = 0;
  std::atomic<int> computed_ = 0;
  std::atomic<bool> stopped_ = false;
  std::counting_semaphore<> ended_{0};
};

// One caller, who calls again when he has his answer.
double P99Micros(v1::SlowAdder::Stub& stub, double seconds) {
  v1::CalculateRequest request;
  request.add_numbers(1);
  std::vector<double> micros;
  const auto end = Steady::now() + std::chrono::duration<double>(seconds);
  while (Steady::now() < end) {
    grpc::ClientContext context;
    v1::CalculateResponse response;
    const auto begin = Steady::now();
    Check(stub.Calculate(&context, request, &response));
    micros.push_back(MillisSince(begin) * 1000);
  }
  const auto p99 = micros.begin() + static_cast<int64_t>(micros.size()) * 99 / 100;
  std::nth_element(micros.begin(), p99, micros.end());
  return *p99;
}

void Compare(const Options& options) {
  const Client client = ConnectTo(options);
  const SessionHandle session = Open(client, v1::SlowAdderState());
  const auto stub = v1::SlowAdder::NewStub(session.channel());
  P99Micros(*stub, options.seconds / 2);  // computes, and warms up
  for (int round = 0; round < options.rounds; ++round) {
    double beside;
    {
      const Neighbour neighbour(client);
      while (!neighbour.computes()) P99Micros(*stub, 0.01);
      const int before = neighbour.computed();
      beside = P99Micros(*stub, options.seconds);
      if (neighbour.computed() == before) Fail("the neighbour did not compute");
    }
    PrintPair("14", "p99 us", beside, P99Micros(*stub, options.seconds), "without misses");
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
