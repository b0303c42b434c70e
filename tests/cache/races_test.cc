// Two or more threads at the same step, over and over: how such a race ends may differ, what it
// must not do may not.
#include <atomic>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "gtest/gtest.h"
#include "memod/cache/memo_cache.h"
#include "memod/tests/cache/fixture.h"

namespace memod {
namespace {

constexpr int kRounds = 1000;

// Lets its threads go at one time, nearer to one another than any that have to be woken.
class Start {
 public:
  explicit Start(int threads) : missing_(threads) {}
  void Wait() {
    --missing_;
    while (missing_ > 0) std::this_thread::yield();
  }

 private:
  std::atomic<int> missing_;
};

struct Listener final : Waiter {
  void OnAnswer(const Outcome& outcome) override { heard = Told(outcome); }
  std::string heard;
};

class RacesTest : public ::testing::Test {
 protected:
  // What it started, or joined.
  std::shared_ptr<Flight> Call(Listener& listener, const std::string& request, bool& computes,
                               const Flight* parent = nullptr) {
    const auto result = cache_->GetOrCompute({.method = method_,
                                              .key = CacheKey(0, request),
                                              .control = Control::kNone,
                                              .now = Time(),
                                              .waiter = &listener,
                                              .self = none_,
                                              .parent = parent},
                                             [&](std::shared_ptr<Flight>) { computes = true; });
    if (const auto* outcome = std::get_if<Outcome>(&result)) listener.OnAnswer(*outcome);
    const auto* flight = std::get_if<std::shared_ptr<Flight>>(&result);
    return flight == nullptr ? nullptr : *flight;
  }

  void TearDown() override {
    cache_->Detach();
    context_.reaper.Drain();
    EXPECT_EQ(context_.flights, 0);
    EXPECT_EQ(context_.bytes.used(), 0);
  }

  CacheContext context_{std::nullopt};
  const MemoizedMethod method_{0, "/test/Method", Policy{}};
  const std::shared_ptr<MemoCache> cache_ = MemoCache::Make(context_, 10, true);
  const std::shared_ptr<const Self> none_;
};

TEST_F(RacesTest, EqualCallsFromManyThreadsComputeOnce) {
  constexpr int kThreads = 4;
  for (int round = 0; round < kRounds; ++round) {
    std::deque<Listener> listeners(kThreads);
    std::atomic<int> computations = 0;
    Start start(kThreads);
    std::vector<std::thread> threads;
    for (Listener& listener : listeners) {
      threads.emplace_back([&] {
        bool computes = false;
        start.Wait();
        const auto flight = Call(listener, std::to_string(round), computes);
        if (!computes) return;
        ++computations;
        flight->Begin(Time());
        flight->Complete(Answer::Copy(flight->key(), "v"), Time());
      });
    }
    for (auto& thread : threads) thread.join();
    ASSERT_EQ(computations, 1);
    for (const Listener& listener : listeners) ASSERT_TRUE(listener.heard.ends_with(" v"));
  }
  const Counters counters = cache_->Info(method_).counters;
  EXPECT_EQ(counters.hits + counters.misses, kRounds * kThreads);
  EXPECT_EQ(counters.misses - counters.coalesced, kRounds);
}

TEST_F(RacesTest, LeavingMeetsTheAnswerAndOneOfThemWins) {
  for (int round = 0; round < kRounds; ++round) {
    Listener listener;
    bool computes = false, left = false;
    const auto flight = Call(listener, std::to_string(round), computes);
    Start start(2);
    std::thread leaver([&] {
      start.Wait();
      left = flight->Leave(&listener);
    });
    start.Wait();
    flight->Complete(Answer::Copy(flight->key(), "v"), Time());
    leaver.join();
    ASSERT_EQ(listener.heard, left ? "" : "miss v");
    ASSERT_EQ(flight->cancelled(), left);
  }
}

// A nested computation sees that it is cancelled with its outer call, and gives up, while somebody
// from outside asks for the same.
TEST_F(RacesTest, NewcomerNeverHearsOfACancellationThatWasNotItsOwn) {
  for (int round = 0; round < kRounds; ++round) {
    const std::string key = "nested " + std::to_string(round);
    Listener outer, nested, newcomer;
    bool ignored = false, newcomer_computes = false;
    const auto outer_flight = Call(outer, "outer " + std::to_string(round), ignored);
    const auto nested_flight = Call(nested, key, ignored, outer_flight.get());
    outer_flight->Leave(&outer);
    Start start(2);
    std::shared_ptr<Flight> newcomers;
    std::thread thread([&] {
      start.Wait();
      newcomers = Call(newcomer, key, newcomer_computes);
    });
    start.Wait();
    if (nested_flight->cancelled()) {
      nested_flight->Complete(absl::CancelledError(), Time());
    } else {
      nested_flight->Complete(Answer::Copy(nested_flight->key(), "v"), Time());
    }
    thread.join();
    if (newcomer_computes) newcomers->Complete(Answer::Copy(newcomers->key(), "v"), Time());
    ASSERT_TRUE(newcomer.heard.ends_with(" v")) << newcomer.heard;
  }
}

}  // namespace
}  // namespace memod
