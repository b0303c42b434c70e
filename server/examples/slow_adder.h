// The hosted class behind memo.examples.v1.SlowAdder: its methods take long.
#pragma once

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "memo/examples/v1/slow_adder.pb.h"
#include "memod/cache/time.h"
#include "memod/server/call_context.h"

namespace memod::examples {

namespace v1 = memo::examples::v1;

// Immutable, so thread-safe. The methods' contracts are in slow_adder.proto.
class SlowAdder {
 public:
  // INVALID_ARGUMENT: the delay is no valid duration from 0 to 1 hour.
  static absl::StatusOr<std::unique_ptr<SlowAdder>> Create(const v1::SlowAdderState& state);

  absl::StatusOr<v1::CalculateResponse> Calculate(const v1::CalculateRequest& request,
                                                  CallContext& context) const;
  absl::StatusOr<v1::FibonacciResponse> Fibonacci(const v1::FibonacciRequest& request,
                                                  CallContext& context) const;

  // Calculate for a caller without a context. `cancelled` is asked every 10 ms of the delay.
  absl::StatusOr<v1::CalculateResponse> CalculateUnless(const std::function<bool()>& cancelled,
                                                        const v1::CalculateRequest& request) const;

 private:
  explicit SlowAdder(Duration delay) : delay_(delay) {}

  const Duration delay_;
};

}  // namespace memod::examples
