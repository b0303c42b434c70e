#include "memod/server/examples/slow_adder.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memod/cache/time.h"

namespace memod::examples {
namespace {

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

v1::SlowAdderState Delay(int64_t seconds, int32_t nanos) {
  v1::SlowAdderState state;
  state.mutable_delay()->set_seconds(seconds);
  state.mutable_delay()->set_nanos(nanos);
  return state;
}

v1::CalculateRequest Numbers(std::initializer_list<int64_t> numbers) {
  v1::CalculateRequest request;
  for (int64_t number : numbers) request.add_numbers(number);
  return request;
}

absl::StatusOr<int64_t> Sum(std::initializer_list<int64_t> numbers) {
  const auto adder = SlowAdder::Create({});
  const auto response = (*adder)->CalculateUnless([] { return false; }, Numbers(numbers));
  if (!response.ok()) return response.status();
  return response->sum();
}

TEST(SlowAdderTest, DelayIsFromZeroToOneHour) {
  EXPECT_TRUE(SlowAdder::Create({}).ok());
  EXPECT_TRUE(SlowAdder::Create(Delay(0, 999'999'999)).ok());
  EXPECT_TRUE(SlowAdder::Create(Delay(3600, 0)).ok());
}

TEST(SlowAdderTest, OtherDelaysAreRefusedByName) {
  for (const auto& state :
       {Delay(3600, 1), Delay(-1, 0), Delay(0, -1), Delay(-1, 999'999'999), Delay(1, -1),
        Delay(0, 1'000'000'000), Delay(kMax, 0), Delay(kMin, 0)}) {
    const absl::Status status = SlowAdder::Create(state).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << state.ShortDebugString();
    EXPECT_TRUE(status.message().substr(0, 7) == "delay: ") << status;
  }
}

TEST(SlowAdderTest, SumsWhatFits) {
  EXPECT_EQ(Sum({}).value(), 0);
  EXPECT_EQ(Sum({1, 2, -5}).value(), -2);
  EXPECT_EQ(Sum({kMax, 0}).value(), kMax);
  EXPECT_EQ(Sum({kMin, 0}).value(), kMin);
}

TEST(SlowAdderTest, OnlyTheWholeSumHasToFit) {
  EXPECT_EQ(Sum({kMax, kMax, kMin, kMin}).value(), -2);
  EXPECT_EQ(Sum({kMax, 1, -1}).value(), kMax);
}

TEST(SlowAdderTest, SumThatDoesNotFitIsOutOfRange) {
  EXPECT_EQ(Sum({kMax, 1}).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(Sum({kMin, -1}).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(Sum({kMax, kMax, kMax}).status().code(), absl::StatusCode::kOutOfRange);
}

TEST(SlowAdderTest, AnswersAfterTheDelay) {
  const auto adder = SlowAdder::Create(Delay(0, 25'000'000));
  int asked = 0;
  const Time start = Clock::now();
  const auto response = (*adder)->CalculateUnless([&] { return ++asked < 0; }, Numbers({1, 2}));
  EXPECT_GE(Clock::now() - start, std::chrono::milliseconds(25));
  EXPECT_EQ(response.value().sum(), 3);
  EXPECT_GE(asked, 1);
}

TEST(SlowAdderTest, CancelledCallDoesNotSitOutItsDelay) {
  const auto adder = SlowAdder::Create(Delay(3600, 0));
  int asked = 0;
  const auto response = (*adder)->CalculateUnless([&] { return ++asked == 3; }, Numbers({1}));
  EXPECT_EQ(response.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(asked, 3);
}

}  // namespace
}  // namespace memod::examples
