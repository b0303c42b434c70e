// Calls at the same time where an upstream computes: one call of it for all who ask, and what
// becomes of it when they go, or what it is for does.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memod/tests/testing/upstream_test.h"

namespace memod {
namespace {

using std::chrono::milliseconds;

constexpr int kMany = 8;

class UpstreamFlightTest : public UpstreamTest {
 protected:
  // Each computation of `key` waits at the gate of that name, then answers which of them it was.
  void Block(const std::string& key) {
    lab.On(key, [this, key](Computing& c) {
      lab.gate(key).Pass();
      return absl::StrCat("v", c.nth);
    });
  }
  // Each waits until it is cancelled, and then passes the gate "cancelled".
  void WaitToBeCancelled(const std::string& key) {
    OnRemote(key, [this](UpstreamCall& call) {
      lab.gate("begun").Pass();
      EXPECT_TRUE(call.AwaitCancelled());
      lab.gate("cancelled").Pass();
    });
    lab.gate("begun").Open();
    lab.gate("cancelled").Open();
  }
  Call& StartRemote(const SessionHandle& session, const std::string& key) {
    return Start(session, key, {.method = kRemote});
  }
};

TEST_F(UpstreamFlightTest, EqualCallsAtOnceAreOneCallOfTheUpstream) {
  ServeBefore({Remote()});
  const SessionHandle session = Open("a");
  Block("x");
  const auto calls = StartMany(session, "x", kMany, {.method = kRemote});
  ASSERT_TRUE(lab.gate("x").AwaitArrived());
  lab.gate("x").Open();
  std::map<std::string, int> heard;
  for (Call* call : calls) ++heard[call->Words()];
  EXPECT_EQ(heard, (std::map<std::string, int>{{"miss v1", 1}, {"coalesced v1", kMany - 1}}));
  EXPECT_EQ(upstream.calls(), 1);
  EXPECT_EQ(Info(session, kRemote), "misses 8, coalesced 7, computations 1, currsize 1");
}

TEST_F(UpstreamFlightTest, CallersOfAllSessionsAndOfNoneShareOneCallInServerScope) {
  ServeBefore({Public()});
  const SessionHandle a = Open("a"), b = Open("b");
  Block("x");
  Call& first = StartRemote(a, "x");
  ASSERT_TRUE(lab.gate("x").AwaitArrived());
  Call& second = StartRemote(b, "x");
  Call& third = StartBytes(std::nullopt, Request("x"), {.method = kRemote});
  ASSERT_TRUE(Soon([&] { return AdminInfo("", kRemote).total().coalesced(); }, 2));
  lab.gate("x").Open();
  EXPECT_EQ(first.Words(), "miss v1");
  EXPECT_EQ(second.Words(), "coalesced v1");
  EXPECT_EQ(third.Words(), "coalesced v1");
  EXPECT_EQ(upstream.calls(), 1);
}

TEST_F(UpstreamFlightTest, WithoutCoalescingEachIsACall) {
  ServeBefore({Remote([](MethodConfig& m) { m.coalesce = false; })});
  const SessionHandle session = Open("a");
  Block("x");
  const auto calls = StartMany(session, "x", kMany, {.method = kRemote});
  EXPECT_TRUE(lab.gate("x").AwaitArrived(kMany));
  lab.gate("x").Open();
  for (Call* call : calls) EXPECT_TRUE(call->Wait().status.ok());
  EXPECT_EQ(Info(session, kRemote), "misses 8, computations 8, currsize 1");
}

TEST_F(UpstreamFlightTest, SlowCallHoldsUpNothingElse) {
  ServeBefore({Remote()});
  SessionHandle session = Open("a");
  Block("slow");
  Call& slow = StartRemote(session, "slow");
  ASSERT_TRUE(lab.gate("slow").AwaitArrived());
  EXPECT_EQ(Get(session, "x", kRemote), "miss x");
  EXPECT_EQ(Get(session, "x", kRemote), "hit x");
  EXPECT_EQ(Get(session, "x"), "miss a:x");
  EXPECT_TRUE(session.ClearCache(kCompute).ok());
  EXPECT_FALSE(slow.done());
  lab.gate("slow").Open();
  EXPECT_EQ(slow.Words(), "miss v1");
}

TEST_F(UpstreamFlightTest, ErrorGoesToAllWhoWaitWithItsTrailers) {
  ServeBefore({Remote()});
  const SessionHandle session = Open("a");
  OnRemote("x", [this](UpstreamCall& call) {
    lab.gate("x").Pass();
    call.Finish(grpc::Status(grpc::StatusCode::ABORTED, "no", "why"), {{"x-a", "1"}});
  });
  const auto calls = StartMany(session, "x", kMany, {.method = kRemote});
  lab.gate("x").Open();
  for (Call* call : calls) {
    EXPECT_EQ(call->Words(), "ABORTED: no");
    EXPECT_EQ(call->Wait().status.error_details(), "why");
    EXPECT_EQ(call->Wait().Trailer("x-a"), "1");
  }
  EXPECT_EQ(Info(session, kRemote), "misses 8, coalesced 7, computations 1, errors 1, currsize 0");
}

// Who goes

TEST_F(UpstreamFlightTest, UpstreamsCallIsCancelledWhenTheLastWhoWaitsHasGone) {
  ServeBefore({Remote()});
  const SessionHandle session = Open("a");
  WaitToBeCancelled("x");
  const auto calls = StartMany(session, "x", 3, {.method = kRemote});
  ASSERT_TRUE(lab.gate("begun").AwaitArrived());
  calls[0]->Cancel();
  calls[1]->Cancel();
  for (int i : {0, 1}) {
    EXPECT_EQ(calls[i]->Wait().status.error_code(), grpc::StatusCode::CANCELLED);
  }
  Info(session, kRemote);  // has come after what was cancelled
  EXPECT_EQ(upstream.in_progress(), 1);
  calls[2]->Cancel();
  EXPECT_TRUE(lab.gate("cancelled").AwaitArrived());
  EXPECT_TRUE(AliveSoon("sessions 1, instances 1"));
  EXPECT_EQ(Info(session, kRemote), "misses 3, coalesced 2, computations 1, currsize 0");
}

TEST_F(UpstreamFlightTest, FirstCallerGoneTheOthersGetTheAnswer) {
  ServeBefore({Remote()});
  const SessionHandle session = Open("a");
  Block("x");
  Call& hasty = Start(session, "x", {.method = kRemote, .deadline = milliseconds(100)});
  Call& patient = StartRemote(session, "x");
  EXPECT_EQ(hasty.Wait().status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  lab.gate("x").Open();
  EXPECT_EQ(patient.Wait().bytes, Response("v1"));
  EXPECT_EQ(Get(session, "x", kRemote), "hit v1");
}

TEST_F(UpstreamFlightTest, NewcomerNeverJoinsACallThatIsBeingCancelled) {
  ServeBefore({Remote()});
  const SessionHandle session = Open("a");
  WaitToBeCancelled("x");
  Call& first = StartRemote(session, "x");
  ASSERT_TRUE(lab.gate("begun").AwaitArrived());
  first.Cancel();
  ASSERT_TRUE(lab.gate("cancelled").AwaitArrived());
  OnRemote("x", [](UpstreamCall& call) { call.Answer(Response("new")); });
  EXPECT_EQ(Get(session, "x", kRemote), "miss new");
  EXPECT_EQ(Get(session, "x", kRemote), "hit new");
}

TEST_F(UpstreamFlightTest, ComputeTimeoutEndsTheCallWhoeverWaits) {
  ServeBefore({Remote([](MethodConfig& m) { m.compute_timeout = milliseconds(200); })});
  const SessionHandle session = Open("a");
  WaitToBeCancelled("x");
  const auto calls = StartMany(session, "x", 2, {.method = kRemote});
  for (Call* call : calls) EXPECT_EQ(call->Words(), "DEADLINE_EXCEEDED COMPUTE_TIMEOUT");
  EXPECT_TRUE(lab.gate("cancelled").AwaitArrived());
  EXPECT_LT(upstream.seen().back().remaining, milliseconds(400));
  EXPECT_EQ(Info(session, kRemote), "misses 2, coalesced 1, computations 1, errors 1, currsize 0");
}

TEST_F(UpstreamFlightTest, UpstreamsDeadlineIsNotTheCallers) {
  ServeBefore({Remote()});
  EXPECT_EQ(Get(Open("a"), "x", {.method = kRemote, .deadline = std::chrono::seconds(20)}),
            "miss x");
  EXPECT_GT(upstream.seen().back().remaining, std::chrono::minutes(4));
}

// What it is for goes

TEST_F(UpstreamFlightTest, CloseAbortsItsCallersAndCancelsTheUpstreamsCall) {
  ServeBefore({Remote()});
  SessionHandle session = Open("a");
  WaitToBeCancelled("x");
  const auto calls = StartMany(session, "x", 2, {.method = kRemote});
  ASSERT_TRUE(lab.gate("begun").AwaitArrived());
  EXPECT_TRUE(session.Close().ok());
  for (Call* call : calls) EXPECT_EQ(call->Words(), "ABORTED SESSION_CLOSED");
  EXPECT_TRUE(lab.gate("cancelled").AwaitArrived());
  EXPECT_TRUE(AliveSoon("nothing"));
}

TEST_F(UpstreamFlightTest, CloseDoesNotTouchWhatAllShare) {
  ServeBefore({Public()});
  SessionHandle session = Open("a");
  Block("x");
  Call& call = StartRemote(session, "x");
  ASSERT_TRUE(lab.gate("x").AwaitArrived());
  EXPECT_TRUE(session.Close().ok());
  lab.gate("x").Open();
  EXPECT_EQ(call.Words(), "miss v1");
  EXPECT_EQ(AskRemote("x").Words(), "hit v1");
}

// By which way a session lets go of what it remembers.
class DropTest : public UpstreamFlightTest, public testing::WithParamInterface<std::string> {
 protected:
  void Drop(SessionHandle& session) {
    if (GetParam() == "Clear") {
      EXPECT_TRUE(session.ClearCache(kRemote).ok());
    } else if (GetParam() == "UpdateState") {
      EXPECT_TRUE(session.UpdateState(State("b")).ok());
    } else {
      grpc::ClientContext context;
      context.AddMetadata("memo-session", session.handle());
      memo::v1::ForgetRequest request;
      request.set_method(kRemote);
      request.set_request(Request("x"));
      memo::v1::ForgetResponse response;
      EXPECT_TRUE(sessions->Forget(&context, request, &response).ok());
    }
  }
};

TEST_P(DropTest, DuringACallItsCallersAreAnsweredAndNothingIsStored) {
  ServeBefore({Remote()});
  SessionHandle session = Open("a");
  Block("x");
  const auto calls = StartMany(session, "x", 2, {.method = kRemote});
  ASSERT_TRUE(lab.gate("x").AwaitArrived());
  Drop(session);
  Call& after = StartRemote(session, "x");
  EXPECT_TRUE(lab.gate("x").AwaitArrived(2)) << "a call after it starts its own";
  lab.gate("x").Open();
  EXPECT_EQ(after.Words(), "miss v2");
  for (Call* call : calls) EXPECT_EQ(call->Wait().bytes, Response("v1"));
  EXPECT_EQ(Get(session, "x", kRemote), "hit v2");
}

INSTANTIATE_TEST_SUITE_P(, DropTest, testing::Values("Clear", "UpdateState", "Forget"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace memod
