#include "memod/server/examples/slow_adder.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <thread>

#include "absl/numeric/int128.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace memod::examples {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr Duration kMaxDelay = std::chrono::hours(1);
constexpr Duration kSlice = std::chrono::milliseconds(10);
constexpr int kMaxFibonacci = 93;

absl::Status Cancelled() { return absl::CancelledError("nobody waits for the answer any more"); }

// False when cut short.
bool SleepUnless(const std::function<bool()>& cancelled, Duration duration) {
  const Time end = Clock::now() + duration;
  for (Time now = Clock::now(); now < end; now = Clock::now()) {
    if (cancelled()) return false;
    std::this_thread::sleep_for(std::min(end - now, kSlice));
  }
  return true;
}

absl::StatusOr<v1::FibonacciResponse> FibonacciOf(int n, CallContext& context) {
  v1::FibonacciRequest request;
  request.set_n(n);
  return context.Call<&SlowAdder::Fibonacci>(request);
}

}  // namespace

absl::StatusOr<std::unique_ptr<SlowAdder>> SlowAdder::Create(const v1::SlowAdderState& state) {
  const google::protobuf::Duration& delay = state.delay();
  // The seconds by themselves first: all of int64's do not fit into a Duration.
  const bool valid = delay.seconds() >= 0 && delay.seconds() <= 3600 && delay.nanos() >= 0 &&
                     delay.nanos() < 1'000'000'000 &&
                     seconds(delay.seconds()) + nanoseconds(delay.nanos()) <= kMaxDelay;
  if (!valid) {
    return absl::InvalidArgumentError(absl::StrCat("delay: must be from 0 to 1 hour, is ",
                                                   delay.seconds(), " seconds and ", delay.nanos(),
                                                   " nanoseconds"));
  }
  return std::unique_ptr<SlowAdder>(
      new SlowAdder(seconds(delay.seconds()) + nanoseconds(delay.nanos())));
}

absl::StatusOr<v1::CalculateResponse> SlowAdder::Calculate(const v1::CalculateRequest& request,
                                                           CallContext& context) const {
  return CalculateUnless([&context] { return context.cancelled(); }, request);
}

absl::StatusOr<v1::CalculateResponse> SlowAdder::CalculateUnless(
    const std::function<bool()>& cancelled, const v1::CalculateRequest& request) const {
  if (!SleepUnless(cancelled, delay_)) return Cancelled();
  // In 128 bits, so that only the whole sum has to fit, in whatever order it is added up.
  absl::int128 sum = 0;
  for (int64_t number : request.numbers()) sum += number;
  if (sum < std::numeric_limits<int64_t>::min() || sum > std::numeric_limits<int64_t>::max()) {
    return absl::OutOfRangeError("the sum does not fit into 64 bits");
  }
  v1::CalculateResponse response;
  response.set_sum(static_cast<int64_t>(sum));
  return response;
}

absl::StatusOr<v1::FibonacciResponse> SlowAdder::Fibonacci(const v1::FibonacciRequest& request,
                                                           CallContext& context) const {
  const int n = request.n();
  if (n < 0 || n > kMaxFibonacci) {
    return absl::InvalidArgumentError(absl::StrCat("n: must be in 0..", kMaxFibonacci, ", is ", n));
  }
  // With memoization turned off this would go on for good.
  if (context.cancelled()) return Cancelled();
  v1::FibonacciResponse response;
  if (n < 2) {
    response.set_value(n);
    return response;
  }
  const auto before = FibonacciOf(n - 1, context);
  if (!before.ok()) return before.status();
  const auto before_that = FibonacciOf(n - 2, context);
  if (!before_that.ok()) return before_that.status();
  response.set_value(before->value() + before_that->value());
  return response;
}

}  // namespace memod::examples
