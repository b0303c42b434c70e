// Calls at the same time: one computation, everybody's own deadline, nothing that waits needlessly.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memod/tests/testing/server_test.h"

namespace memod {
namespace {

constexpr int kMany = 8;

class ConcurrencyTest : public ServerTest {
 protected:
  // Each computation of `key` waits at the gate of that name, then answers which of them it was.
  void Block(const std::string& key) {
    lab.On(key, [this, key](Computing& c) {
      lab.gate(key).Pass();
      return absl::StrCat("v", c.nth);
    });
  }
  // What callers were told, and how many of them.
  using Heard = std::map<std::string, int>;
  static Heard Hear(const std::vector<Call*>& calls) {
    Heard heard;
    for (Call* call : calls) ++heard[call->Words()];
    return heard;
  }
};

TEST_F(ConcurrencyTest, EqualCallsAtOnceShareOneComputation) {
  Serve();
  const SessionHandle session = Open("a");
  Block("x");
  const auto calls = StartMany(session, "x", kMany);
  lab.gate("x").Open();
  EXPECT_EQ(Hear(calls), (Heard{{"miss v1", 1}, {"coalesced v1", kMany - 1}}));
  EXPECT_EQ(Info(session), "misses 8, coalesced 7, computations 1, currsize 1");
  EXPECT_EQ(Get(session, "x"), "hit v1");
}

// So that a hit gets the CPU at once that a computation had.
TEST_F(ConcurrencyTest, ComputationsAreNicerThanWhatAnswers) {
  Serve();
  lab.On("x", [](Computing&) { return absl::StrCat(getpriority(PRIO_PROCESS, 0)); });
  EXPECT_EQ(Get(Open("a"), "x"),
            absl::StrCat("miss ", std::min(19, getpriority(PRIO_PROCESS, 0) + 5)));
}

TEST_F(ConcurrencyTest, WithoutCoalescingEachComputesAndOneIsStored) {
  Serve({.probe = {.compute = {.coalesce = false}}});
  const SessionHandle session = Open("a");
  Block("x");
  const auto calls = StartMany(session, "x", kMany);
  EXPECT_TRUE(lab.gate("x").AwaitArrived(kMany));
  lab.gate("x").Open();
  for (Call* call : calls) EXPECT_EQ(call->Words().substr(0, 6), "miss v");
  EXPECT_EQ(lab.computed("x"), kMany);
  EXPECT_EQ(Info(session), "misses 8, computations 8, currsize 1");
}

TEST_F(ConcurrencyTest, SessionsDoNotShareComputations) {
  Serve();
  const SessionHandle a = Open("a");
  const SessionHandle b = Open("b");
  lab.On("x", [this](Computing& c) {
    lab.gate("x").Pass();
    return c.self;
  });
  Call& first = Start(a, "x");
  Call& second = Start(b, "x");
  EXPECT_TRUE(lab.gate("x").AwaitArrived(2));
  lab.gate("x").Open();
  EXPECT_EQ(first.Words(), "miss a");
  EXPECT_EQ(second.Words(), "miss b");
}

TEST_F(ConcurrencyTest, SlowComputationDelaysNoHitNoOtherKeyNoClearNoCacheInfo) {
  Serve();
  SessionHandle session = Open("a");
  Block("slow");
  Get(session, "x");
  Call& slow = Start(session, "slow");
  ASSERT_TRUE(lab.gate("slow").AwaitArrived());
  EXPECT_EQ(Get(session, "x"), "hit a:x");
  EXPECT_EQ(Get(session, "y"), "miss a:y");
  EXPECT_EQ(Info(session), "hits 1, misses 3, computations 3, currsize 2");
  EXPECT_TRUE(AliveSoon("sessions 1, instances 1, flights 1, entries 2"));
  EXPECT_TRUE(session.ClearCache().ok());
  EXPECT_FALSE(slow.done());
  lab.gate("slow").Open();
  EXPECT_EQ(slow.Words(), "miss v1");
}

// What is not stored must not make equal callers run one after the other.

TEST_F(ConcurrencyTest, NoStoreCallersComputeSideBySide) {
  Serve();
  const SessionHandle session = Open("a");
  Block("x");
  const auto calls = StartMany(session, "x", kMany, {.control = "no-store"});
  EXPECT_TRUE(lab.gate("x").AwaitArrived(kMany));
  lab.gate("x").Open();
  for (Call* call : calls) EXPECT_TRUE(call->Wait().status.ok());
  EXPECT_EQ(Info(session), "misses 8, computations 8, currsize 0");
}

TEST_F(ConcurrencyTest, MaxEntriesZeroCallersComputeSideBySide) {
  Serve(MaxEntries(0));
  const SessionHandle session = Open("a");
  Block("x");
  const auto calls = StartMany(session, "x", kMany);
  EXPECT_TRUE(lab.gate("x").AwaitArrived(kMany));
  lab.gate("x").Open();
  for (Call* call : calls) EXPECT_TRUE(call->Wait().status.ok());
  EXPECT_EQ(Info(session), "misses 8, computations 8, currsize 0");
}

TEST_F(ConcurrencyTest, TooLargeAnswerGoesToAllWhoWaitAtOnce) {
  Serve({.probe = {.compute = {.max_entry_bytes = 1}}});
  const SessionHandle session = Open("a");
  Block("x");
  const auto calls = StartMany(session, "x", kMany);
  lab.gate("x").Open();
  EXPECT_EQ(Hear(calls), (Heard{{"miss v1", 1}, {"coalesced v1", kMany - 1}}));
  EXPECT_EQ(Info(session), "misses 8, coalesced 7, computations 1, too_large 1, currsize 0");
}

TEST_F(ConcurrencyTest, BypassesComputeSideBySideAndBesideAFlight) {
  Serve();
  const SessionHandle session = Open("a");
  Block("x");
  Call& first = Start(session, "x");
  ASSERT_TRUE(lab.gate("x").AwaitArrived(1));
  Call& second = Start(session, "x", {.control = "bypass"});
  Call& third = Start(session, "x", {.control = "bypass"});
  EXPECT_TRUE(lab.gate("x").AwaitArrived(3));
  lab.gate("x").Open();
  EXPECT_EQ(first.Words(), "miss v1");
  EXPECT_EQ(second.Words().substr(0, 8), "bypass v");
  EXPECT_EQ(third.Words().substr(0, 8), "bypass v");
  EXPECT_EQ(Get(session, "x"), "hit v1");
}

// Refresh

TEST_F(ConcurrencyTest, UntilARefreshIsThereOthersGetTheOldAnswer) {
  Serve();
  const SessionHandle session = Open("a");
  lab.On("x", [this](Computing& c) {
    if (c.nth == 2) lab.gate("x").Pass();
    return absl::StrCat("v", c.nth);
  });
  Get(session, "x");
  Call& refresh = Start(session, "x", {.control = "refresh"});
  ASSERT_TRUE(lab.gate("x").AwaitArrived());
  EXPECT_EQ(Get(session, "x"), "hit v1");
  lab.gate("x").Open();
  EXPECT_EQ(refresh.Words(), "miss v2");
  EXPECT_EQ(Get(session, "x"), "hit v2");
}

TEST_F(ConcurrencyTest, OfTwoRefreshesTheLaterOnesAnswerStaysInWhicheverOrderTheyEnd) {
  for (const bool later_ends_first : {false, true}) {
    const std::string key = absl::StrCat("x", later_ends_first);
    if (server == nullptr) Serve();
    const SessionHandle session = Open("a");
    lab.On(key, [this, key](Computing& c) {
      lab.gate(absl::StrCat(key, c.nth)).Pass();
      return absl::StrCat("v", c.nth);
    });
    Call& earlier = Start(session, key, {.control = "refresh"});
    ASSERT_TRUE(lab.gate(key + "1").AwaitArrived());
    Call& later = Start(session, key, {.control = "refresh"});
    ASSERT_TRUE(lab.gate(key + "2").AwaitArrived());
    for (const bool end_later : {later_ends_first, !later_ends_first}) {
      lab.gate(key + (end_later ? "2" : "1")).Open();
      EXPECT_EQ((end_later ? later : earlier).Words(), end_later ? "miss v2" : "miss v1");
    }
    EXPECT_EQ(Get(session, key), "hit v2");
  }
}

// Errors

TEST_F(ConcurrencyTest, ErrorGoesToAllWhoWaitAndIsNotStored) {
  Serve();
  const SessionHandle session = Open("a");
  lab.On("x", [this](Computing& c) -> absl::StatusOr<std::string> {
    if (c.nth > 1) return "better";
    lab.gate("x").Pass();
    return absl::OutOfRangeError("too far");
  });
  const auto calls = StartMany(session, "x", kMany);
  lab.gate("x").Open();
  EXPECT_EQ(Hear(calls), (Heard{{"OUT_OF_RANGE: too far", kMany}}));
  EXPECT_EQ(Info(session), "misses 8, coalesced 7, computations 1, errors 1, currsize 0");
  EXPECT_EQ(Get(session, "x"), "miss better");
}

TEST_F(ConcurrencyTest, ExceptionIsInternalForAllWhoWaitAndTheServerLives) {
  Serve();
  const SessionHandle session = Open("a");
  lab.On("x", [this](Computing& c) -> absl::StatusOr<std::string> {
    lab.gate("x").Pass();
    if (c.nth == 1) throw std::runtime_error("boom");
    if (c.nth == 2) throw 42;
    return "better";
  });
  const auto calls = StartMany(session, "x", kMany);
  lab.gate("x").Open();
  EXPECT_EQ(Hear(calls), (Heard{{"INTERNAL: /memo.testing.v1.Probe/Compute threw: boom", kMany}}));
  EXPECT_EQ(Get(session, "x"),
            "INTERNAL: /memo.testing.v1.Probe/Compute threw an unknown exception");
  EXPECT_EQ(Get(session, "x"), "miss better");
  EXPECT_EQ(Info(session), "misses 10, coalesced 7, computations 3, errors 2, currsize 1");
}

}  // namespace
}  // namespace memod
