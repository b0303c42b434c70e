// Calls that meet a computation under way: joining it, leaving it, and what a clear, a change of
// state, a close or a timeout makes of it.
#include "memod/cache/flight.h"

#include <string>

#include "gtest/gtest.h"
#include "memod/cache/memo_error.h"
#include "memod/tests/cache/fixture.h"

namespace memod {
namespace {

class FlightTest : public CacheTest {
 protected:
  const SessionPtr s_ = Open("first state");
};

// Joining

TEST_F(FlightTest, EqualCallsShareOneComputation) {
  const auto& m = Method();
  Caller& first = Call(s_, m, "k");
  const Caller &second = Call(s_, m, "k"), &third = Call(s_, m, "k");
  EXPECT_FALSE(second.computes() || third.computes());
  EXPECT_EQ(context_.flights, 1);
  Finish(first, "v");
  EXPECT_EQ(first.heard(), "miss v");
  EXPECT_EQ(second.heard(), "coalesced v");
  EXPECT_EQ(third.heard(), "coalesced v");
  EXPECT_EQ(Counts(Info(s_, m)), "misses 3, coalesced 2, computations 1, currsize 1");
}

TEST_F(FlightTest, DifferentKeysNeverWaitForEachOther) {
  const auto &m = Method(), &other = Method();
  Caller& slow = Call(s_, m, "slow");
  EXPECT_EQ(Get(s_, m, "k"), "miss =k");
  EXPECT_EQ(Get(s_, m, "k"), "hit =k");
  EXPECT_EQ(Get(s_, other, "slow"), "miss =slow");
  EXPECT_EQ(slow.heard(), "waits");
  Finish(slow, "v");
}

TEST_F(FlightTest, SessionsDoNotShareComputations) {
  const auto& m = Method();
  const SessionPtr other = Open("second state");
  Caller &mine = Call(s_, m, "k"), &theirs = Call(other, m, "k");
  EXPECT_TRUE(theirs.computes());
  EXPECT_EQ(StateOf(mine), "first state");
  EXPECT_EQ(StateOf(theirs), "second state");
  Finish(mine, "a");
  Finish(theirs, "b");
  EXPECT_EQ(Get(s_, m, "k"), "hit a");
  EXPECT_EQ(Get(other, m, "k"), "hit b");
}

TEST_F(FlightTest, ErrorGoesToAllWhoWaitAndTheNextCallComputes) {
  const auto& m = Method();
  Caller& first = Call(s_, m, "k");
  const Caller& second = Call(s_, m, "k");
  Fail(first);
  EXPECT_EQ(first.heard(), "miss INTERNAL");
  EXPECT_EQ(second.heard(), "coalesced INTERNAL");
  EXPECT_EQ(second.status().message(), "failed");
  EXPECT_EQ(Get(s_, m, "k"), "miss =k");
  EXPECT_EQ(Counts(Info(s_, m)), "misses 3, coalesced 1, computations 2, errors 1, currsize 1");
}

TEST_F(FlightTest, WithoutCoalesceEachComputesAndOneEntryStays) {
  const auto& m = Method({.coalesce = false});
  Caller &first = Call(s_, m, "k"), &second = Call(s_, m, "k"), &third = Call(s_, m, "k");
  Finish(second, "2");
  Finish(first, "1");
  Finish(third, "3");
  EXPECT_EQ(second.heard(), "miss 2");
  EXPECT_EQ(third.heard(), "miss 3");
  EXPECT_EQ(Get(s_, m, "k"), "hit 1");
  EXPECT_EQ(Counts(Info(s_, m)), "hits 1, misses 3, computations 3, currsize 1");
}

TEST_F(FlightTest, WhatIsNotStoredNeverMakesEqualCallersRunOneAfterTheOther) {
  const auto& nothing = Method({.max_entries = 0});
  const auto& no_total = Method({.max_entries_total = 0});
  const auto& m = Method();
  for (const auto& [method, control] :
       {std::pair(&nothing, Control::kNone), std::pair(&no_total, Control::kNone),
        std::pair(&m, Control::kNoStore), std::pair(&m, Control::kBypass)}) {
    Caller &first = Call(s_, *method, "k", control), &second = Call(s_, *method, "k", control);
    EXPECT_TRUE(first.computes() && second.computes());
    Finish(second, "v");
    EXPECT_EQ(first.heard(), "waits");
    Finish(first, "v");
    EXPECT_EQ(Info(s_, *method).currsize, 0);
  }
}

TEST_F(FlightTest, NoStoreBypassAndOnlyIfCachedNeverJoin) {
  const auto& m = Method();
  Caller& first = Call(s_, m, "k");
  EXPECT_EQ(Get(s_, m, "k", Control::kNoStore), "miss =k");
  EXPECT_EQ(Get(s_, m, "k", Control::kBypass), "bypass =k");
  EXPECT_EQ(Get(s_, m, "k", Control::kOnlyIfCached), "miss NOT_CACHED");
  Finish(first, "v");
  EXPECT_EQ(Get(s_, m, "k"), "hit v");
}

// Refreshing

TEST_F(FlightTest, OthersGetTheOldAnswerUntilTheRefreshIsThere) {
  const auto& m = Method();
  Get(s_, m, "k");
  Caller& refresh = Call(s_, m, "k", Control::kRefresh);
  EXPECT_EQ(Get(s_, m, "k"), "hit =k");
  Finish(refresh, "new");
  EXPECT_EQ(refresh.heard(), "miss new");
  EXPECT_EQ(Get(s_, m, "k"), "hit new");
}

TEST_F(FlightTest, OfTwoRefreshesTheLaterOnesAnswerStays) {
  const auto& m = Method();
  for (const bool later_ends_first : {true, false}) {
    Caller& earlier = Call(s_, m, "k", Control::kRefresh);
    Caller& later = Call(s_, m, "k", Control::kRefresh);
    EXPECT_TRUE(later.computes());
    Finish(later_ends_first ? later : earlier, later_ends_first ? "later" : "earlier");
    Finish(later_ends_first ? earlier : later, later_ends_first ? "earlier" : "later");
    EXPECT_EQ(earlier.heard(), "miss earlier");
    EXPECT_EQ(later.heard(), "miss later");
    EXPECT_EQ(Get(s_, m, "k"), "hit later");
  }
}

TEST_F(FlightTest, RefreshTakesThePlaceOfAComputationUnderWay) {
  const auto& m = Method();
  Caller& first = Call(s_, m, "k");
  Caller& joined = Call(s_, m, "k");
  Caller& refresh = Call(s_, m, "k", Control::kRefresh);
  Caller& newcomer = Call(s_, m, "k");
  Finish(refresh, "new");
  Finish(first, "old");
  EXPECT_EQ(first.heard(), "miss old");
  EXPECT_EQ(joined.heard(), "coalesced old");
  EXPECT_EQ(newcomer.heard(), "coalesced new");
  EXPECT_EQ(Get(s_, m, "k"), "hit new");
}

// Nothing foreign runs under a lock

// Uses all that it can reach from where it is told.
struct CuriousWaiter final : Waiter {
  CuriousWaiter(SessionTable& table, const Session& session, const MemoizedMethod& method)
      : table(table), cache(session.incarnation()->cache), session(session), method(method) {}
  void OnAnswer(const Outcome&) override {
    table.GetTotals();
    table.Find(session.handle());
    cache->Clear(&method);
    ++told;
  }
  SessionTable& table;
  const std::shared_ptr<MemoCache> cache;
  const Session& session;
  const MemoizedMethod& method;
  int told = 0;
};

TEST_F(FlightTest, WaitersAreToldUnderNoLock) {
  const auto& m = Method();
  CuriousWaiter curious(*table_, *s_, m);
  const auto join = [&](Caller& caller) {
    curious.cache->GetOrCompute({.method = m,
                                 .key = caller.flight()->key(),
                                 .control = Control::kNone,
                                 .now = now_,
                                 .waiter = &curious,
                                 .self = nullptr,
                                 .session = s_.get()},
                                [](std::shared_ptr<Flight>) { ADD_FAILURE(); });
  };
  Caller& first = Call(s_, m, "k");
  join(first);
  Finish(first, "v");
  Caller& second = Call(s_, m, "k");
  join(second);
  second.flight()->Abandon(absl::DeadlineExceededError(""));
  join(Call(s_, m, "k"));
  Close(s_);
  EXPECT_EQ(curious.told, 3);
}

// Telling a computation that waits elsewhere

TEST_F(FlightTest, OnCancelIsToldOnceWhenTheLastCallerLeaves) {
  const auto& m = Method();
  Caller &first = Call(s_, m, "k"), &second = Call(s_, m, "k");
  int told = 0;
  first.flight()->OnCancel([&] { ++told; });
  first.Leave();
  EXPECT_EQ(told, 0);
  second.Leave();
  EXPECT_EQ(told, 1);
  first.flight()->OnCancel([&] { ++told; });  // too late to wait for it
  EXPECT_EQ(told, 2);
}

TEST_F(FlightTest, OnCancelIsToldOfATimeoutAndAClose) {
  const auto& m = Method();
  int told = 0;
  Caller &late = Call(s_, m, "late"), &closed = Call(s_, m, "closed");
  late.flight()->OnCancel([&] { ++told; });
  closed.flight()->OnCancel([&] { ++told; });
  late.flight()->Abandon(absl::DeadlineExceededError(""));
  EXPECT_EQ(told, 1);
  Close(s_);
  EXPECT_EQ(told, 2);
}

TEST_F(FlightTest, OnCancelOfAComputationThatHasEndedIsDropped) {
  const auto& m = Method();
  Caller& before = Call(s_, m, "before");
  const auto held = std::make_shared<int>();
  before.flight()->OnCancel([held] { ADD_FAILURE(); });
  before.flight()->OnCancel([held] { ADD_FAILURE(); });
  Finish(before, "v");
  Caller& after = Call(s_, m, "after");
  Finish(after, "v");
  after.flight()->OnCancel([held] { ADD_FAILURE(); });
  EXPECT_EQ(held.use_count(), 1);
}

// Leaving

TEST_F(FlightTest, CancelledCallerDoesNotCancelOthers) {
  const auto& m = Method();
  Caller &first = Call(s_, m, "k"), &second = Call(s_, m, "k");
  EXPECT_TRUE(first.Leave());
  EXPECT_FALSE(first.flight()->cancelled());
  Finish(first, "v");
  EXPECT_EQ(first.heard(), "left");
  EXPECT_EQ(second.heard(), "coalesced v");
  EXPECT_EQ(Get(s_, m, "k"), "hit v");
}

TEST_F(FlightTest, LastCallerLeavingCancelsAndNothingIsStored) {
  const auto& m = Method();
  Caller &first = Call(s_, m, "k"), &second = Call(s_, m, "k");
  EXPECT_TRUE(second.Leave());
  EXPECT_TRUE(first.Leave());
  EXPECT_TRUE(first.flight()->cancelled());
  Finish(first, "late");
  EXPECT_EQ(Get(s_, m, "k"), "miss =k");
}

TEST_F(FlightTest, NewcomerNeverJoinsACancelledComputation) {
  const auto& m = Method();
  Caller& first = Call(s_, m, "k");
  EXPECT_TRUE(first.Leave());
  Caller& newcomer = Call(s_, m, "k");
  EXPECT_TRUE(newcomer.computes());
  Finish(first, "late");
  EXPECT_EQ(newcomer.heard(), "waits");
  Finish(newcomer, "v");
  EXPECT_EQ(newcomer.heard(), "miss v");
  EXPECT_EQ(Get(s_, m, "k"), "hit v");
}

TEST_F(FlightTest, CancelledBeforeItBeganIsNotComputed) {
  const auto& m = Method();
  begin_at_once_ = false;
  Caller& first = Call(s_, m, "k");
  first.Leave();
  EXPECT_FALSE(first.flight()->Begin(now_));
  EXPECT_EQ(Counts(Info(s_, m)), "misses 1, currsize 0");
}

TEST_F(FlightTest, LeavingAfterTheAnswerIsTooLate) {
  Caller& first = Call(s_, Method(), "k");
  Finish(first, "v");
  EXPECT_FALSE(first.Leave());
  EXPECT_EQ(first.heard(), "miss v");
}

TEST_F(FlightTest, OfSeveralCompletionsTheFirstCounts) {
  const auto& m = Method();
  Caller& first = Call(s_, m, "k");
  Finish(first, "1");
  Finish(first, "2");
  Fail(first);
  EXPECT_EQ(first.heard(), "miss 1");
  EXPECT_EQ(Get(s_, m, "k"), "hit 1");
  EXPECT_EQ(Info(s_, m).counters.errors, 0);
}

// Timeouts

TEST_F(FlightTest, DeadlineIsThePolicysFromTheCall) {
  Caller& first = Call(s_, Method({.compute_timeout = seconds(7)}), "k");
  EXPECT_EQ(first.flight()->deadline(), now_ + seconds(7));
  Finish(first, "v");
}

TEST_F(FlightTest, AbandonTellsAllCancelsAndDiscardsTheLateAnswer) {
  const auto& m = Method();
  Caller &first = Call(s_, m, "k"), &second = Call(s_, m, "k");
  first.flight()->Abandon(absl::DeadlineExceededError("too slow"));
  EXPECT_EQ(first.heard(), "miss DEADLINE_EXCEEDED");
  EXPECT_EQ(second.heard(), "coalesced DEADLINE_EXCEEDED");
  EXPECT_TRUE(first.flight()->cancelled());
  Caller& newcomer = Call(s_, m, "k");
  EXPECT_TRUE(newcomer.computes());
  Finish(first, "late");
  Finish(newcomer, "v");
  EXPECT_EQ(Get(s_, m, "k"), "hit v");
  EXPECT_EQ(Counts(Info(s_, m)),
            "hits 1, misses 3, coalesced 1, computations 2, errors 1, currsize 1");
}

TEST_F(FlightTest, AbandonAfterTheAnswerIsTooLate) {
  const auto& m = Method();
  Caller& first = Call(s_, m, "k");
  Finish(first, "v");
  first.flight()->Abandon(absl::DeadlineExceededError("too slow"));
  EXPECT_EQ(first.heard(), "miss v");
  EXPECT_EQ(Counts(Info(s_, m)), "misses 1, computations 1, currsize 1");
}

// Clear, change of state and close while a computation runs

TEST_F(FlightTest, ClearDeliversWhatRunsAndDoesNotStoreIt) {
  const auto& m = Method();
  for (const MemoizedMethod* cleared : {&m, static_cast<const MemoizedMethod*>(nullptr)}) {
    Caller &first = Call(s_, m, "k"), &second = Call(s_, m, "k");
    table_->Clear(s_.get(), cleared);
    Caller& later = Call(s_, m, "k");
    EXPECT_TRUE(later.computes());
    Finish(first, "old");
    EXPECT_EQ(first.heard(), "miss old");
    EXPECT_EQ(second.heard(), "coalesced old");
    EXPECT_EQ(later.heard(), "waits");
    Finish(later, "new");
    EXPECT_EQ(Get(s_, m, "k"), "hit new");
    table_->Clear(s_.get(), &m);
  }
}

TEST_F(FlightTest, ClearingAnotherMethodLeavesTheComputationAlone) {
  const auto &m = Method(), &other = Method();
  Caller& first = Call(s_, m, "k");
  table_->Clear(s_.get(), &other);
  Finish(first, "v");
  EXPECT_EQ(Get(s_, m, "k"), "hit v");
}

TEST_F(FlightTest, UpdateDeliversWhatRunsOnTheOldStateAndDoesNotStoreIt) {
  const auto& m = Method();
  Caller& first = Call(s_, m, "k");
  Update(s_, "second state");
  Caller& later = Call(s_, m, "k");
  EXPECT_TRUE(later.computes());
  EXPECT_EQ(StateOf(first), "first state");
  EXPECT_EQ(StateOf(later), "second state");
  Finish(first, "old");
  EXPECT_EQ(first.heard(), "miss old");
  EXPECT_FALSE(first.flight()->cancelled());
  Finish(later, "new");
  EXPECT_EQ(Get(s_, m, "k"), "hit new");
}

TEST_F(FlightTest, CloseTellsWaitersAbortedOnceAndDiscardsTheLateAnswer) {
  const auto& m = Method();
  Caller &first = Call(s_, m, "k"), &second = Call(s_, m, "k"),
         &solo = Call(s_, m, "k", Control::kBypass);
  Close(s_);
  EXPECT_EQ(first.heard(), "miss SESSION_CLOSED");
  EXPECT_EQ(second.heard(), "coalesced SESSION_CLOSED");
  EXPECT_EQ(solo.heard(), "bypass SESSION_CLOSED");
  EXPECT_EQ(first.status().code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(first.flight()->cancelled());
  EXPECT_FALSE(first.Leave());
  EXPECT_FALSE(first.flight()->Begin(now_));
  Finish(first, "late");
  EXPECT_EQ(first.heard(), "miss SESSION_CLOSED");
  EXPECT_EQ(context_.bytes.used(), 0);
}

TEST_F(FlightTest, CloseTellsThoseWhoWaitForFormerStates) {
  const auto& m = Method();
  Caller& first = Call(s_, m, "k");
  Update(s_, "second state");
  Caller& second = Call(s_, m, "k");
  Update(s_, "third state");
  Close(s_);
  EXPECT_EQ(first.heard(), "miss SESSION_CLOSED");
  EXPECT_EQ(second.heard(), "miss SESSION_CLOSED");
  EXPECT_TRUE(first.flight()->cancelled() && second.flight()->cancelled());
}

TEST_F(FlightTest, CloseTellsThatSessionsWaitersOnly) {
  const auto &m = Method(), &shared = Method({.scope = Scope::kServer});
  const SessionPtr other = Open();
  Caller &theirs = Call(other, m, "k"), &everybodys = Call(s_, shared, "k");
  Close(s_);
  EXPECT_EQ(theirs.heard(), "waits");
  EXPECT_EQ(everybodys.heard(), "waits");
  Finish(theirs, "v");
  Finish(everybodys, "v");
}

TEST_F(FlightTest, RunningComputationKeepsItsInstanceAndNothingElse) {
  const auto& m = Method();
  Get(s_, m, "entry");
  Call(s_, m, "k");
  Close(s_);
  EXPECT_EQ(InstancesAlive(), 1);
  EXPECT_EQ(context_.instances, 1);
  EXPECT_EQ(context_.bytes.used(), 0);
}

}  // namespace
}  // namespace memod
