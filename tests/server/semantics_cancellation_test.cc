// Who leaves, what is given up, and what of it is remembered.
#include <gtest/gtest.h>

#include <atomic>
#include <string>

#include "absl/strings/str_cat.h"
#include "memod/tests/testing/server_test.h"

namespace memod {
namespace {

using std::chrono::milliseconds;

class CancellationTest : public ServerTest {
 protected:
  // The first computation of `key` waits until it is cancelled and then at the gate; the others end
  // at once.
  void WaitToBeCancelled(const std::string& key) {
    lab.On(key, [this, key](Computing& c) -> absl::StatusOr<std::string> {
      if (c.nth > 1) return absl::StrCat("v", c.nth);
      lab.gate(key + " began").Pass();
      EXPECT_TRUE(c.AwaitCancelled());
      lab.gate(key + " cancelled").Pass();
      return "late";
    });
    lab.gate(key + " began").Open();
  }
  // Each computation of `key` waits at the gate of that name.
  void Block(const std::string& key) {
    lab.On(key, [this, key](Computing& c) {
      lab.gate(key).Pass();
      return absl::StrCat("v", c.nth);
    });
  }
  // Returns when the server has seen what was sent before: it comes on the same connection.
  void Barrier(const SessionHandle& session) { Info(session); }
};

TEST_F(CancellationTest, EachCallerHasItsOwnDeadline) {
  Serve();
  const SessionHandle session = Open("a");
  Block("x");
  Call& hasty = Start(session, "x", {.deadline = milliseconds(50)});
  ASSERT_TRUE(lab.gate("x").AwaitArrived());
  Call& patient = Start(session, "x");
  EXPECT_EQ(hasty.Wait().status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(Soon([&] { return CacheInfoOf(session, kCompute).coalesced(); }, 1));
  lab.gate("x").Open();
  EXPECT_EQ(patient.Words(), "coalesced v1");
  EXPECT_EQ(Info(session), "misses 2, coalesced 1, computations 1, currsize 1");
}

TEST_F(CancellationTest, FirstCallerGoneTheOthersGetTheAnswer) {
  Serve();
  const SessionHandle session = Open("a");
  Block("x");
  Call& first = Start(session, "x");
  ASSERT_TRUE(lab.gate("x").AwaitArrived());
  const auto others = StartMany(session, "x", 3);
  first.Cancel();
  others[1]->Cancel();
  EXPECT_EQ(first.Wait().status.error_code(), grpc::StatusCode::CANCELLED);
  Barrier(session);
  lab.gate("x").Open();
  EXPECT_EQ(others[0]->Words(), "coalesced v1");
  EXPECT_EQ(others[2]->Words(), "coalesced v1");
  EXPECT_EQ(Get(session, "x"), "hit v1");
}

TEST_F(CancellationTest, AllGoneTheComputationIsCancelledAndNothingIsStored) {
  Serve();
  const SessionHandle session = Open("a");
  WaitToBeCancelled("x");
  const auto calls = StartMany(session, "x", 3);
  ASSERT_TRUE(lab.gate("x began").AwaitArrived());
  for (Call* call : calls) call->Cancel();
  EXPECT_TRUE(lab.gate("x cancelled").AwaitArrived());
  lab.gate("x cancelled").Open();
  EXPECT_TRUE(AliveSoon("sessions 1, instances 1"));
  EXPECT_EQ(Info(session), "misses 3, coalesced 2, computations 1, currsize 0");
}

TEST_F(CancellationTest, NewcomerNeverJoinsAFlightThatIsBeingCancelled) {
  Serve();
  const SessionHandle session = Open("a");
  WaitToBeCancelled("x");
  Call& first = Start(session, "x");
  ASSERT_TRUE(lab.gate("x began").AwaitArrived());
  first.Cancel();
  ASSERT_TRUE(lab.gate("x cancelled").AwaitArrived());
  EXPECT_EQ(Get(session, "x"), "miss v2");
  lab.gate("x cancelled").Open();
  EXPECT_TRUE(AliveSoon("sessions 1, instances 1, entries 1"));
  EXPECT_EQ(Get(session, "x"), "hit v2");
}

// While a computation runs

TEST_F(CancellationTest, ClearDuringAComputationAnswersItsCallersAndStoresNothing) {
  Serve();
  SessionHandle session = Open("a");
  Block("x");
  const auto calls = StartMany(session, "x", 2);
  EXPECT_TRUE(session.ClearCache(kCompute).ok());
  Call& after = Start(session, "x");
  EXPECT_TRUE(lab.gate("x").AwaitArrived(2)) << "a call after the clear starts its own";
  lab.gate("x").Open();
  EXPECT_EQ(after.Words(), "miss v2");
  for (Call* call : calls) EXPECT_EQ(call->Words().substr(call->Words().size() - 2), "v1");
  EXPECT_EQ(Get(session, "x"), "hit v2");
}

TEST_F(CancellationTest, ClearOfAnotherMethodLeavesAComputationAlone) {
  Serve();
  SessionHandle session = Open("a");
  Block("x");
  Call& call = Start(session, "x");
  ASSERT_TRUE(lab.gate("x").AwaitArrived());
  EXPECT_TRUE(session.ClearCache(kOther).ok());
  lab.gate("x").Open();
  EXPECT_EQ(call.Words(), "miss v1");
  EXPECT_EQ(Get(session, "x"), "hit v1");
}

TEST_F(CancellationTest, UpdateStateDuringAComputationAnswersItsCallersAndStoresNothing) {
  Serve();
  SessionHandle session = Open("old");
  Block("x");
  const auto calls = StartMany(session, "x", 2);
  EXPECT_TRUE(session.UpdateState(State("new")).ok());
  Call& after = Start(session, "x");
  EXPECT_TRUE(lab.gate("x").AwaitArrived(2));
  EXPECT_EQ(lab.instances(), 2) << "a running computation keeps its instance";
  lab.gate("x").Open();
  EXPECT_EQ(after.Words(), "miss v2");
  for (Call* call : calls) EXPECT_EQ(call->Words().substr(call->Words().size() - 2), "v1");
  EXPECT_EQ(Get(session, "x"), "hit v2");
  EXPECT_TRUE(Soon([&] { return lab.instances(); }, 1));
}

TEST_F(CancellationTest, CloseDuringAComputationAbortsItsCallersAndCancelsIt) {
  Serve();
  SessionHandle session = Open("a");
  const SessionHandle other = Open("b");
  WaitToBeCancelled("x");
  const auto calls = StartMany(session, "x", 2);
  EXPECT_TRUE(lab.gate("x began").AwaitArrived());
  EXPECT_TRUE(session.Close().ok());
  for (Call* call : calls) EXPECT_EQ(call->Words(), "ABORTED SESSION_CLOSED");
  ASSERT_TRUE(lab.gate("x cancelled").AwaitArrived());
  EXPECT_TRUE(AliveSoon("sessions 1, instances 2, flights 1"))
      << "it keeps its instance until it ends";
  lab.gate("x cancelled").Open();
  EXPECT_TRUE(AliveSoon("sessions 1, instances 1"));
  EXPECT_EQ(Get(other, "x"), "miss v2");
}

TEST_F(CancellationTest, CloseAlsoAbortsThoseWhoWaitForAFormerState) {
  Serve();
  SessionHandle session = Open("old");
  WaitToBeCancelled("x");
  Call& call = Start(session, "x");
  ASSERT_TRUE(lab.gate("x began").AwaitArrived());
  EXPECT_TRUE(session.UpdateState(State("new")).ok());
  EXPECT_TRUE(session.Close().ok());
  EXPECT_EQ(call.Words(), "ABORTED SESSION_CLOSED");
  EXPECT_TRUE(lab.gate("x cancelled").AwaitArrived());
}

TEST_F(CancellationTest, CloseDoesNotTouchWhatAllShare) {
  Serve();
  SessionHandle session = Open("a");
  Block("x");
  Call& call = Start(session, "x", {.method = kShared});
  ASSERT_TRUE(lab.gate("x").AwaitArrived());
  EXPECT_TRUE(session.Close().ok());
  lab.gate("x").Open();
  EXPECT_EQ(call.Words(), "miss v1");
  EXPECT_EQ(Ask(std::nullopt, Request("x"), {.method = kShared}).Words(), "hit v1");
}

// compute_timeout

TEST_F(CancellationTest, ComputeTimeoutEndsTheWaitOfAllAlsoIfTheMethodDoesNotHeedIt) {
  Serve({.probe = {.compute = {.compute_timeout = milliseconds(50)}}});
  const SessionHandle session = Open("a");
  std::atomic<bool> cancelled = false;
  lab.On("x", [&](Computing& c) -> absl::StatusOr<std::string> {
    if (c.nth > 1) return "in time";
    EXPECT_GT(c.context->deadline(), Clock::now() - std::chrono::seconds(1));
    lab.gate("x").Pass();
    cancelled = c.context->cancelled();
    lab.gate("end").Pass();
    return "late";
  });
  Call& first = Start(session, "x");
  const Told& told = first.Wait();
  EXPECT_EQ(told.Words(), "DEADLINE_EXCEEDED COMPUTE_TIMEOUT");
  EXPECT_EQ(told.status.error_message(),
            "/memo.testing.v1.Probe/Compute: the computation took longer than 0.05 s "
            "(compute_timeout)");
  EXPECT_EQ(Get(session, "x"), "miss in time") << "it still holds the key";
  lab.gate("x").Open();
  ASSERT_TRUE(lab.gate("end").AwaitArrived());
  EXPECT_TRUE(cancelled);
  lab.gate("end").Open();
  EXPECT_TRUE(AliveSoon("sessions 1, instances 1, entries 1"));
  EXPECT_EQ(Get(session, "x"), "hit in time");
  EXPECT_EQ(Info(session), "hits 1, misses 2, computations 2, errors 1, currsize 1");
}

TEST_F(CancellationTest, ComputeTimeoutIsNotTheCallersDeadline) {
  Serve();
  const SessionHandle session = Open("a");
  lab.On("x", [](Computing& c) {
    return c.context->deadline() > Clock::now() + std::chrono::minutes(4) ? "minutes" : "less";
  });
  EXPECT_EQ(Get(session, "x", {.deadline = std::chrono::seconds(10)}), "miss minutes");
}

}  // namespace
}  // namespace memod
