// Nested calls: a computation that calls another method, or itself, on its own session.
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "memod/cache/memo_error.h"
#include "memod/tests/cache/fixture.h"

namespace memod {
namespace {

class NestedTest : public CacheTest {
 protected:
  static constexpr int kMaxDepth = 5;
  NestedTest() : CacheTest(std::nullopt, {.max_depth = kMaxDepth}) {}
  const SessionPtr s_ = Open("first state");
};

TEST_F(NestedTest, NestedCallIsMemoizedAndCountedAsAny) {
  const auto &m = Method(), &inner = Method();
  Caller& outer = Call(s_, m, "k");
  Caller& nested = CallNested(outer, inner, "n");
  EXPECT_EQ(nested.flight()->parent(), outer.flight().get());
  EXPECT_EQ(StateOf(nested), "first state");
  Finish(nested, "v");
  EXPECT_EQ(nested.heard(), "miss v");
  EXPECT_EQ(CallNested(outer, inner, "n").heard(), "hit v");
  Finish(outer, "w");
  EXPECT_EQ(Get(s_, inner, "n"), "hit v");
  EXPECT_EQ(Counts(Info(s_, inner)), "hits 2, misses 1, computations 1, currsize 1");
}

TEST_F(NestedTest, NestedCallNeverWaitsForAComputationUnderWay) {
  const auto& m = Method();
  Caller& other = Call(s_, m, "shared");
  Caller& outer = Call(s_, m, "k");
  Caller& nested = CallNested(outer, m, "shared");
  EXPECT_TRUE(nested.computes());
  Finish(nested, "mine");
  EXPECT_EQ(nested.heard(), "miss mine");
  EXPECT_EQ(other.heard(), "waits");
  Finish(other, "its own");  // it was there first: the one that is stored
  Finish(outer, "v");
  EXPECT_EQ(Get(s_, m, "shared"), "hit its own");
  EXPECT_EQ(Counts(Info(s_, m)), "hits 1, misses 3, computations 3, currsize 2");
}

TEST_F(NestedTest, TwoChainsThatNeedEachOthersKeysBothFinish) {
  const auto& m = Method();
  Caller &a = Call(s_, m, "a"), &b = Call(s_, m, "b");
  Caller &b_for_a = CallNested(a, m, "b"), &a_for_b = CallNested(b, m, "a");
  EXPECT_TRUE(b_for_a.computes() && a_for_b.computes());
  for (Caller* caller : {&b_for_a, &a_for_b, &a, &b}) Finish(*caller, "v");
  EXPECT_EQ(a.heard(), "miss v");
  EXPECT_EQ(b.heard(), "miss v");
}

TEST_F(NestedTest, OutsidersHearNothingOfAChainThatIsNotTheirs) {
  const auto& m = Method();
  Caller& outer = Call(s_, m, "k");
  Caller &nested = CallNested(outer, m, "n"), &outsider = Call(s_, m, "n");
  Caller& another = Call(s_, m, "n");  // outsiders share a computation among themselves
  EXPECT_TRUE(outsider.computes());
  EXPECT_FALSE(another.computes());
  EXPECT_EQ(CallNested(nested, m, "k").heard(), "miss RECURSION");
  Fail(nested);
  Finish(outsider, "v");
  EXPECT_EQ(outsider.heard(), "miss v");
  EXPECT_EQ(another.heard(), "coalesced v");
  Finish(outer, "w");
  EXPECT_EQ(Get(s_, m, "n"), "hit v");
}

TEST_F(NestedTest, SameKeyInItsOwnChainFailsAtOnce) {
  const auto &m = Method(), &other = Method();
  Caller& outer = Call(s_, m, "k");
  const Caller& direct = CallNested(outer, m, "k");
  EXPECT_EQ(direct.heard(), "miss RECURSION");
  EXPECT_EQ(direct.status().code(), absl::StatusCode::kFailedPrecondition);
  Caller& between = CallNested(outer, m, "between");
  EXPECT_EQ(CallNested(between, m, "k").heard(), "miss RECURSION");
  Caller& another = CallNested(between, other, "k");  // another method: another key
  EXPECT_TRUE(another.computes());
  for (Caller* caller : {&another, &between, &outer}) Finish(*caller, "v");
}

TEST_F(NestedTest, SameKeyUnderAnotherSessionIsNoRecursion) {
  const auto& m = Method();
  const SessionPtr other = Open();
  Caller& outer = Call(s_, m, "k");
  EXPECT_EQ(Get(other, m, "k"), "miss =k");
  Finish(outer, "v");
}

TEST_F(NestedTest, DepthBeyondTheLimitIsResourceExhausted) {
  const auto& m = Method({.max_entries = 2});
  std::vector<Caller*> chain = {&Call(s_, m, "0")};
  for (int depth = 2; depth <= kMaxDepth; ++depth) {
    chain.push_back(&CallNested(*chain.back(), m, std::to_string(depth)));
    EXPECT_EQ(chain.back()->flight()->depth(), depth);
  }
  const Caller& beyond = CallNested(*chain.back(), m, "beyond");
  EXPECT_EQ(beyond.heard(), "miss LIMIT");
  EXPECT_EQ(beyond.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(beyond.status().message().find(std::to_string(kMaxDepth)), std::string::npos);
  for (auto it = chain.rbegin(); it != chain.rend(); ++it) {
    Finish(**it, "v");
    EXPECT_LE(Info(s_, m).currsize, 2);
  }
}

TEST_F(NestedTest, HitAtTheDeepestIsAHit) {
  const auto& m = Method();
  Get(s_, m, "there");
  std::vector<Caller*> chain = {&Call(s_, m, "0")};
  while (chain.size() < kMaxDepth) {
    chain.push_back(&CallNested(*chain.back(), m, std::to_string(chain.size())));
  }
  EXPECT_EQ(CallNested(*chain.back(), m, "there").heard(), "hit =there");
  for (auto it = chain.rbegin(); it != chain.rend(); ++it) Finish(**it, "v");
}

TEST_F(NestedTest, AfterAnUpdateAChainGoesOnByItselfOnItsOldState) {
  const auto& m = Method();
  Caller& outer = Call(s_, m, "k");
  Get(s_, m, "n");
  Update(s_, "second state");
  Caller& nested = CallNested(outer, m, "n");
  EXPECT_TRUE(nested.computes());
  EXPECT_EQ(StateOf(nested), "first state");
  EXPECT_EQ(CallNested(nested, m, "k").heard(), "miss RECURSION");
  Finish(nested, "v");
  EXPECT_EQ(nested.heard(), "miss v");
  Finish(outer, "w");
  EXPECT_EQ(Counts(Info(s_, m)), "currsize 0");
  EXPECT_EQ(table_->GetTotals().Info(m).counters.misses, 2);  // k and n, before the update
}

// Whoever makes a nested call is computing, and is not told of the close but by its next call.
TEST_F(NestedTest, AfterACloseAChainEndsAtItsNextCall) {
  const auto& m = Method();
  Caller& outer = Call(s_, m, "k");
  Caller& nested = CallNested(outer, m, "n");
  Close(s_);
  EXPECT_EQ(outer.heard(), "miss SESSION_CLOSED");
  EXPECT_TRUE(nested.flight()->cancelled());
  EXPECT_EQ(CallNested(nested, m, "another").heard(), "miss CANCELLED");
  Finish(nested, "late");
  Finish(outer, "late");
  EXPECT_EQ(outer.heard(), "miss SESSION_CLOSED");
}

// Cancelling

TEST_F(NestedTest, CancellingTheOuterCallCancelsWhatRunsWithinIt) {
  const auto& m = Method();
  Caller& outer = Call(s_, m, "k");
  Caller& nested = CallNested(outer, m, "n");
  Caller& innermost = CallNested(nested, m, "o");
  EXPECT_FALSE(innermost.flight()->cancelled());
  outer.Leave();
  EXPECT_TRUE(nested.flight()->cancelled());
  EXPECT_TRUE(innermost.flight()->cancelled());
  for (Caller* caller : {&innermost, &nested}) Fail(*caller, absl::StatusCode::kCancelled);
}

// A method that sees that it is cancelled may return whatever it likes.
TEST_F(NestedTest, WhatAChainReturnsThatWasGivenUpIsNotRemembered) {
  const auto& m = Method({.negative = {{absl::StatusCode::kAborted, std::nullopt}}});
  Caller& outer = Call(s_, m, "k");
  Caller &partial = CallNested(outer, m, "n"), &error = CallNested(outer, m, "o");
  outer.Leave();
  Finish(partial, "a part of it");
  Fail(error, absl::StatusCode::kAborted);
  EXPECT_EQ(Get(s_, m, "n"), "miss =n");
  EXPECT_EQ(Get(s_, m, "o"), "miss =o");
}

// It may restate an error of its chain, such as that a call needs its own answer.
TEST_F(NestedTest, ErrorOfANestedCallIsNotRemembered) {
  const auto& m = Method({.negative = {{absl::StatusCode::kAborted, std::nullopt}}});
  Caller& outer = Call(s_, m, "k");
  Fail(CallNested(outer, m, "n"), absl::StatusCode::kAborted);
  EXPECT_EQ(Get(s_, m, "n"), "miss =n");
  Fail(outer, absl::StatusCode::kAborted);
  EXPECT_EQ(Get(s_, m, "k"), "hit ABORTED");
}

TEST_F(NestedTest, AnOutsidersComputationIsNotCancelledWithTheChain) {
  const auto& m = Method();
  Caller& outer = Call(s_, m, "k");
  Caller &nested = CallNested(outer, m, "n"), &outsider = Call(s_, m, "n");
  outer.Leave();
  EXPECT_TRUE(nested.flight()->cancelled());
  EXPECT_FALSE(outsider.flight()->cancelled());
  Fail(nested, absl::StatusCode::kCancelled);
  Finish(outsider, "v");
  EXPECT_EQ(Get(s_, m, "n"), "hit v");
}

TEST_F(NestedTest, NewcomerNeverJoinsANestedComputationThatIsBeingCancelled) {
  const auto& m = Method();
  Caller& outer = Call(s_, m, "k");
  Caller& nested = CallNested(outer, m, "n");
  outer.Leave();
  EXPECT_TRUE(nested.flight()->cancelled());  // and it is about to give up
  Caller& newcomer = Call(s_, m, "n");
  EXPECT_TRUE(newcomer.computes());
  Fail(nested, absl::StatusCode::kCancelled);
  EXPECT_EQ(newcomer.heard(), "waits");
  Finish(newcomer, "v");
  EXPECT_EQ(newcomer.heard(), "miss v");
  EXPECT_EQ(Get(s_, m, "n"), "hit v");
}

TEST_F(NestedTest, ClosingASessionLeavesOthersWhoWaitForWhatItsChainComputes) {
  const auto &m = Method(), &shared = Method({.scope = Scope::kServer});
  const SessionPtr other = Open();
  Caller& outer = Call(s_, m, "k");
  Caller& nested = CallNested(outer, shared, "n");
  Caller& theirs = Call(other, shared, "n");
  Close(s_);
  EXPECT_TRUE(nested.flight()->cancelled());
  EXPECT_FALSE(theirs.flight()->cancelled());
  Fail(nested, absl::StatusCode::kCancelled);
  Finish(theirs, "v");
  EXPECT_EQ(theirs.heard(), "miss v");
}

}  // namespace
}  // namespace memod
