#include "memod/cache/reaper.h"

#include <atomic>
#include <functional>
#include <latch>
#include <memory>
#include <thread>
#include <utility>

#include "gtest/gtest.h"

namespace memod {
namespace {

// Garbage that calls `f` when it is destroyed.
std::shared_ptr<const void> Garbage(std::function<void()> f) {
  static const int something = 0;
  return std::shared_ptr<const void>(&something, [f = std::move(f)](const void*) { f(); });
}

TEST(ReaperTest, DestroysOnItsOwnThread) {
  Reaper reaper;
  std::thread::id thread;
  reaper.Add(Garbage([&] { thread = std::this_thread::get_id(); }));
  reaper.Drain();
  EXPECT_NE(thread, std::thread::id());
  EXPECT_NE(thread, std::this_thread::get_id());
}

TEST(ReaperTest, DrainWaitsForAllThatWasAddedBefore) {
  Reaper reaper;
  std::atomic<int> destroyed = 0;
  for (int i = 1; i <= 1000; ++i) {
    reaper.Add(Garbage([&] { ++destroyed; }));
    if (i % 100 != 0) continue;
    reaper.Drain();
    EXPECT_EQ(destroyed, i);
  }
}

TEST(ReaperTest, DrainOfNothingReturns) {
  Reaper reaper;
  reaper.Drain();
  reaper.Add(nullptr);
  reaper.Drain();
}

TEST(ReaperTest, DropsItsReferenceOnly) {
  Reaper reaper;
  const auto mine = std::make_shared<int>(7);
  reaper.Add(mine);
  reaper.Drain();
  EXPECT_EQ(mine.use_count(), 1);
  EXPECT_EQ(*mine, 7);
}

TEST(ReaperTest, ItsDestructorDestroysWhatIsLeft) {
  std::atomic<int> destroyed = 0;
  {
    Reaper reaper;
    for (int i = 0; i < 100; ++i) reaper.Add(Garbage([&] { ++destroyed; }));
  }
  EXPECT_EQ(destroyed, 100);
}

TEST(ReaperTest, WhatIsDestroyedMayAddMore) {
  std::atomic<int> destroyed = 0;
  {
    Reaper reaper;
    reaper.Add(Garbage([&] {
      ++destroyed;
      reaper.Add(Garbage([&] { ++destroyed; }));
    }));
  }
  EXPECT_EQ(destroyed, 2);
}

TEST(ReaperTest, SlowDestructionDelaysNoAdd) {
  std::latch started(1), gate(1);
  Reaper reaper;
  reaper.Add(Garbage([&] {
    started.count_down();
    gate.wait();
  }));
  started.wait();
  std::atomic<bool> second = false;
  reaper.Add(Garbage([&] { second = true; }));  // would hang here if Add waited
  EXPECT_FALSE(second);
  gate.count_down();
  reaper.Drain();
  EXPECT_TRUE(second);
}

}  // namespace
}  // namespace memod
