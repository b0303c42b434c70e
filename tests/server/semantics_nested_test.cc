// Hosted methods that call others on their own session: recursion, and chains that meet.
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "memo/examples/v1/slow_adder.grpc.pb.h"
#include "memod/cache/memo_error.h"
#include "memod/tests/testing/server_test.h"

namespace memod {
namespace {

class NestedTest : public ServerTest {
 protected:
  // Keys "0" to `depth` - 1: each but "0" asks for the one below it.
  void Descend(int depth) {
    for (int i = 0; i < depth; ++i) {
      lab.On(absl::StrCat(i), [i](Computing& c) -> absl::StatusOr<std::string> {
        if (i == 0) return "bottom";
        return c.Compute(absl::StrCat(i - 1));
      });
    }
  }
};

TEST_F(NestedTest, RecursionToOtherKeysWorksAndKeepsTheBound) {
  Serve(MaxEntries(10));
  const SessionHandle session = Open("a");
  Descend(200);
  EXPECT_EQ(Get(session, "199"), "miss bottom");
  EXPECT_EQ(Info(session), "misses 200, computations 200, evictions 190, currsize 10");
  EXPECT_EQ(Get(session, "199"), "hit bottom");
  EXPECT_EQ(Get(session, "190"), "hit bottom");
}

TEST_F(NestedTest, RecursionEndsAtMaxDepth) {
  Serve();
  const SessionHandle session = Open("a");
  Descend(1001);
  EXPECT_EQ(Get(session, "999"), "miss bottom");
  EXPECT_TRUE(session.GetCacheInfo().ok());
  const SessionHandle fresh = Open("b");
  const Told told = Ask(fresh.handle(), Request("1000"));
  EXPECT_EQ(told.Words(), "RESOURCE_EXHAUSTED LIMIT");
  EXPECT_EQ(told.status.error_message(),
            "/memo.testing.v1.Probe/Compute: nested calls 1001 deep, limit 1000 "
            "(compute.max_depth)");
  EXPECT_EQ(CacheInfoOf(fresh, kCompute).currsize(), 0);
  EXPECT_EQ(Get(fresh, "500"), "miss bottom") << "nothing is stuck";
}

TEST_F(NestedTest, MaxDepthIsTheConfigurations) {
  ServeOptions options;
  options.config.compute.max_depth = 3;
  Serve(options);
  const SessionHandle session = Open("a");
  Descend(4);
  EXPECT_EQ(Get(session, "3"), "RESOURCE_EXHAUSTED LIMIT");
  EXPECT_EQ(Get(session, "2"), "miss bottom");
  EXPECT_EQ(Get(session, "3"), "miss bottom") << "of which a part is remembered now";
}

TEST_F(NestedTest, TheSameKeyWithinItsOwnChainFailsAtOnce) {
  Serve();
  const SessionHandle session = Open("a");
  lab.On("x", [](Computing& c) { return c.Compute("x"); });
  EXPECT_EQ(Get(session, "x"), "FAILED_PRECONDITION RECURSION");
  lab.On("y", [](Computing& c) { return c.Compute("z"); });
  lab.On("z", [](Computing& c) { return c.Compute("y"); });
  EXPECT_EQ(Get(session, "y"), "FAILED_PRECONDITION RECURSION");
  EXPECT_EQ(Info(session), "misses 5, computations 3, errors 3, currsize 0");
}

TEST_F(NestedTest, TheSameRequestToAnotherMethodIsAnotherKey) {
  Serve();
  const SessionHandle session = Open("a");
  lab.On("x", [](Computing& c) -> absl::StatusOr<std::string> {
    if (c.nth > 1) return "other";
    return c.Other("x");
  });
  EXPECT_EQ(Get(session, "x"), "miss other");
  EXPECT_EQ(Get(session, "x", {.method = kOther}), "hit other");
}

TEST_F(NestedTest, NestedCallsAreMemoizedForTheSessionAndCounted) {
  Serve();
  const SessionHandle session = Open("a");
  lab.On("sum", [](Computing& c) -> absl::StatusOr<std::string> {
    return absl::StrCat(*c.Other("p"), " ", *c.Other("p"), " ", *c.Shared("q"));
  });
  EXPECT_EQ(Get(session, "sum"), "miss a:p a:p q");
  EXPECT_EQ(Info(session, kOther), "hits 1, misses 1, computations 1, currsize 1");
  EXPECT_EQ(Get(session, "p", {.method = kOther}), "hit a:p");
  EXPECT_EQ(Ask(std::nullopt, Request("q"), {.method = kShared}).Words(), "hit q");
}

TEST_F(NestedTest, FunctionWithoutInstanceHasNoSessionToCallOn) {
  Serve();
  const SessionHandle session = Open("a");
  lab.On("x", [](Computing& c) { return c.Compute("y"); });
  EXPECT_EQ(Get(session, "x", {.method = kShared}), "FAILED_PRECONDITION SESSION_MISMATCH");
  EXPECT_EQ(lab.computed("y"), 0);
}

TEST_F(NestedTest, ErrorOfANestedCallIsTheMethodsToReturnOrNot) {
  Serve();
  const SessionHandle session = Open("a");
  lab.On("fails", [](Computing&) { return absl::DataLossError("gone"); });
  lab.On("passes it on", [](Computing& c) { return c.Compute("fails"); });
  lab.On("makes do", [](Computing& c) -> absl::StatusOr<std::string> {
    return c.Compute("fails").ok() ? "odd" : "without";
  });
  EXPECT_EQ(Get(session, "passes it on"), "DATA_LOSS: gone");
  EXPECT_EQ(Get(session, "makes do"), "miss without");
  EXPECT_EQ(lab.computed("fails"), 2);
}

// Both are under way when each asks for the other: neither may wait. What is asked for computes by
// itself, and the answer that it needs is then its own chain's.
TEST_F(NestedTest, TwoChainsThatNeedEachOthersKeysBothFinish) {
  Serve();
  const SessionHandle session = Open("a");
  const auto needs = [this](const std::string& other) {
    return [this, other](Computing& c) -> absl::StatusOr<std::string> {
      lab.gate("both").Pass();
      const auto answer = c.Compute(other);
      return absl::StrCat(c.key, " with ", answer.ok() ? *answer : "none");
    };
  };
  lab.On("x", needs("y"));
  lab.On("y", needs("x"));
  Call& x = Start(session, "x");
  Call& y = Start(session, "y");
  ASSERT_TRUE(lab.gate("both").AwaitArrived(2));
  lab.gate("both").Open();
  EXPECT_TRUE(x.Wait().status.ok());
  EXPECT_TRUE(y.Wait().status.ok());
}

TEST_F(NestedTest, NestedCallDoesNotWaitForAFlightThatIsUp) {
  Serve();
  const SessionHandle session = Open("a");
  lab.On("y", [this](Computing& c) -> absl::StatusOr<std::string> {
    if (c.nth == 1) lab.gate("y").Pass();
    return absl::StrCat("v", c.nth);
  });
  lab.On("x", [](Computing& c) { return c.Compute("y"); });
  Call& slow = Start(session, "y");
  ASSERT_TRUE(lab.gate("y").AwaitArrived());
  EXPECT_EQ(Get(session, "x"), "miss v2");
  EXPECT_EQ(Get(session, "y", {.control = "only-if-cached"}), "FAILED_PRECONDITION NOT_CACHED")
      << "what is computed by itself is not stored";
  lab.gate("y").Open();
  EXPECT_EQ(slow.Words(), "miss v1");
  EXPECT_EQ(Get(session, "y"), "hit v1");
}

TEST_F(NestedTest, OneThreadIsEnoughForAnyRecursion) {
  ServeOptions options;
  options.config.compute.threads = 1;
  Serve(options);
  const SessionHandle session = Open("a");
  Descend(100);
  EXPECT_EQ(Get(session, "99"), "miss bottom");
}

TEST_F(NestedTest, CancellingTheCallCancelsWhatItCalls) {
  Serve();
  const SessionHandle session = Open("a");
  lab.On("outer", [](Computing& c) { return c.Compute("inner"); });
  lab.On("inner", [this](Computing& c) -> absl::StatusOr<std::string> {
    lab.gate("inner").Pass();
    EXPECT_TRUE(c.AwaitCancelled());
    lab.gate("cancelled").Pass();
    return absl::CancelledError();
  });
  lab.gate("inner").Open();
  Call& call = Start(session, "outer");
  ASSERT_TRUE(lab.gate("inner").AwaitArrived());
  call.Cancel();
  EXPECT_TRUE(lab.gate("cancelled").AwaitArrived());
  lab.gate("cancelled").Open();
  EXPECT_TRUE(AliveSoon("sessions 1, instances 1"));
  EXPECT_EQ(CacheInfoOf(session, kCompute).currsize(), 0);
}

// Whatever it is: a method that is told to stop may answer anything.
TEST_F(NestedTest, WhatWasGivenUpTogetherWithItsCallerIsNotStored) {
  Serve({.probe = {.compute = {.negative = {{absl::StatusCode::kNotFound, std::nullopt}}}}});
  const SessionHandle session = Open("a");
  for (const std::string key : {"answers", "fails"}) {
    lab.On("calls " + key, [key](Computing& c) { return c.Compute(key); });
    lab.On(key, [this, key](Computing& c) -> absl::StatusOr<std::string> {
      if (c.nth > 1) return "whole";
      lab.gate(key).Pass();
      EXPECT_TRUE(c.AwaitCancelled());
      if (key == "fails") return absl::NotFoundError("not found so far");
      return "half";
    });
    lab.gate(key).Open();
    Call& call = Start(session, "calls " + key);
    ASSERT_TRUE(lab.gate(key).AwaitArrived());
    call.Cancel();
    EXPECT_TRUE(Soon([&] { return AdminInfo().gauges().flights(); }, 0));
    EXPECT_EQ(Get(session, key), "miss whole");
  }
}

TEST_F(NestedTest, FibonacciComputesEachNumberOnce) {
  Serve();
  memo::examples::v1::SlowAdderState state;
  const SessionHandle session = client->OpenSession(state).value();
  const auto adder = memo::examples::v1::SlowAdder::NewStub(session.channel());
  memo::examples::v1::FibonacciRequest request;
  memo::examples::v1::FibonacciResponse response;
  request.set_n(90);
  grpc::ClientContext context;
  ASSERT_TRUE(adder->Fibonacci(&context, request, &response).ok());
  EXPECT_EQ(response.value(), 2880067194370816120u);
  EXPECT_EQ(Info(session, "/memo.examples.v1.SlowAdder/Fibonacci"),
            "hits 88, misses 91, computations 91, currsize 91");
}

// Clients make calls again that say so.
TEST_F(NestedTest, WhatHasBegunDoesNotSayThatNothingHas) {
  ServeOptions options;
  options.probe.compute.negative = {{absl::StatusCode::kNotFound, std::nullopt}};
  Serve(options);
  const SessionHandle session = Open("a");
  lab.On("outer", [](Computing& c) { return c.Compute("inner"); });
  int calls = 0;
  for (const std::string_view word : {memo_error::kDraining, memo_error::kSessionNotFound}) {
    const absl::Status told = MemoError(absl::StatusCode::kNotFound, word, "as told elsewhere");
    lab.On("inner", [=](Computing&) { return told; });
    lab.OnOpen("b", [=] { return told; });
    for (const char* key : {"inner", "outer"}) {
      EXPECT_EQ(Get(session, key), "NOT_FOUND: as told elsewhere");
    }
    EXPECT_EQ(lab.computed("outer"), ++calls) << "nor is it remembered";
    EXPECT_EQ(lab.computed("inner"), 2 * calls);
    memo::v1::UpdateStateRequest request;
    request.mutable_state()->PackFrom(State("b"));
    const Told update = Ask(session.handle(), request.SerializeAsString(),
                            {.method = "/memo.v1.SessionService/UpdateState"});
    EXPECT_EQ(update.Words(), "NOT_FOUND: as told elsewhere");
  }
}

}  // namespace
}  // namespace memod
