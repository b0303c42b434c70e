// What one call at a time sees of a MemoCache: what is remembered, for how long, and how it is
// counted. Calls that meet one another are in flight_test.cc.
#include "memod/cache/memo_cache.h"

#include <string>

#include "gtest/gtest.h"
#include "memod/tests/cache/fixture.h"

namespace memod {
namespace {

class MemoCacheTest : public CacheTest {
 protected:
  const SessionPtr s_ = Open();
};

TEST_F(MemoCacheTest, NewCacheSaysZeroAndItsMaxsizeBeforeAnyCall) {
  EXPECT_EQ(Info(s_, Method()), (CacheInfo{{}, 128, 0, 0}));
  EXPECT_EQ(Info(s_, Method({.max_entries = 7})).maxsize, 7);
  EXPECT_EQ(Info(s_, Method({.max_entries = 0})).maxsize, 0);
  EXPECT_EQ(Info(s_, Method({.max_entries = -3})).maxsize, 0);
  EXPECT_EQ(Info(s_, Method({.max_entries = std::nullopt})).maxsize, std::nullopt);
}

TEST_F(MemoCacheTest, SecondEqualCallIsAHit) {
  const auto& m = Method();
  EXPECT_EQ(Get(s_, m, "k"), "miss =k");
  EXPECT_EQ(Get(s_, m, "k"), "hit =k");
  EXPECT_EQ(Get(s_, m, "other"), "miss =other");
  EXPECT_EQ(Counts(Info(s_, m)), "hits 1, misses 2, computations 2, currsize 2");
}

TEST_F(MemoCacheTest, SameRequestToTwoMethodsIsTwoEntries) {
  const auto &m = Method(), &other = Method();
  EXPECT_EQ(Get(s_, m, "k"), "miss =k");
  EXPECT_EQ(Get(s_, other, "k"), "miss =k");
  EXPECT_EQ(Counts(Info(s_, m)), "misses 1, computations 1, currsize 1");
}

TEST_F(MemoCacheTest, EmptyAnswerIsStored) {
  const auto& m = Method();
  Finish(Call(s_, m, ""), "");
  EXPECT_EQ(Get(s_, m, ""), "hit ");
}

TEST_F(MemoCacheTest, HitMakesItsEntryTheMostRecent) {
  const auto& m = Method({.max_entries = 2});
  Get(s_, m, "a");
  Get(s_, m, "b");
  EXPECT_EQ(Get(s_, m, "a"), "hit =a");
  Get(s_, m, "c");
  EXPECT_EQ(Get(s_, m, "a"), "hit =a");
  EXPECT_EQ(Get(s_, m, "b"), "miss =b");
  EXPECT_EQ(Counts(Info(s_, m)), "hits 2, misses 4, computations 4, evictions 2, currsize 2");
}

TEST_F(MemoCacheTest, ReadingInfoTouchesNoRecency) {
  const auto& m = Method({.max_entries = 2});
  Get(s_, m, "a");
  Get(s_, m, "b");
  Info(s_, m);
  table_->GetTotals().Info(m);
  Get(s_, m, "c");
  EXPECT_EQ(Get(s_, m, "b"), "hit =b");
}

TEST_F(MemoCacheTest, MaxEntriesZeroAndNegativeAlwaysComputeAndStoreNothing) {
  for (const int64_t max_entries : {0, -1}) {
    const auto& m = Method({.max_entries = max_entries});
    EXPECT_EQ(Get(s_, m, "k"), "miss =k");
    EXPECT_EQ(Get(s_, m, "k"), "miss =k");
    EXPECT_EQ(Counts(Info(s_, m)), "misses 2, computations 2, currsize 0");
    EXPECT_EQ(Info(s_, m).bytes, 0);
  }
}

TEST_F(MemoCacheTest, UnboundedKeepsEverything) {
  const auto& m = Method({.max_entries = std::nullopt});
  for (int i = 0; i < 1000; ++i) Get(s_, m, std::to_string(i));
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(Get(s_, m, std::to_string(i)).starts_with("hit"));
  EXPECT_EQ(Counts(Info(s_, m)), "hits 1000, misses 1000, computations 1000, currsize 1000");
}

TEST_F(MemoCacheTest, ErrorsAreCountedPassedOnUnchangedAndNotStored) {
  const auto& m = Method();
  Caller& failed = Call(s_, m, "k");
  const absl::Status error = absl::NotFoundError("no such column");
  failed.flight()->Complete(error, now_);
  EXPECT_EQ(failed.status(), error);
  EXPECT_EQ(Get(s_, m, "k"), "miss =k");
  EXPECT_EQ(Counts(Info(s_, m)), "misses 2, computations 2, errors 1, currsize 1");
}

// memo-control

TEST_F(MemoCacheTest, BypassComputesAndTouchesAndCountsNothing) {
  const auto& m = Method();
  EXPECT_EQ(Get(s_, m, "k", Control::kBypass), "bypass =k");
  EXPECT_EQ(Info(s_, m), (CacheInfo{{}, 128, 0, 0}));
  Finish(Call(s_, m, "k"), "old");
  EXPECT_EQ(Get(s_, m, "k", Control::kBypass), "bypass =k");
  Fail(Call(s_, m, "k", Control::kBypass));
  EXPECT_EQ(Get(s_, m, "k"), "hit old");
  EXPECT_EQ(Counts(Info(s_, m)), "hits 1, misses 1, computations 1, currsize 1");
}

TEST_F(MemoCacheTest, RefreshComputesAndReplacesAndIsNoLookup) {
  const auto& m = Method();
  EXPECT_EQ(Get(s_, m, "k", Control::kRefresh), "miss =k");
  EXPECT_EQ(Get(s_, m, "k"), "hit =k");
  Finish(Call(s_, m, "k", Control::kRefresh), "new");
  EXPECT_EQ(Get(s_, m, "k"), "hit new");
  EXPECT_EQ(Counts(Info(s_, m)), "hits 2, computations 2, currsize 1");
}

TEST_F(MemoCacheTest, FailedRefreshLeavesTheOldAnswer) {
  const auto& m = Method();
  Get(s_, m, "k");
  Fail(Call(s_, m, "k", Control::kRefresh));
  EXPECT_EQ(Get(s_, m, "k"), "hit =k");
}

// What is short of memory remembers nothing new; and nothing that is older than an answer given.
TEST_F(MemoCacheTest, WhileNothingIsStoredWhatARefreshWouldReplaceGoes) {
  const auto& m = Method();
  for (const char* key : {"k", "old"}) Get(s_, m, key);
  context_.storing = false;
  EXPECT_EQ(Get(s_, m, "k"), "hit =k");
  EXPECT_EQ(Get(s_, m, "new"), "miss =new");
  EXPECT_EQ(Get(s_, m, "new"), "miss =new");
  EXPECT_EQ(Get(s_, m, "old", Control::kRefresh), "miss =old");
  Caller& first = Call(s_, m, "shared");
  Caller& second = Call(s_, m, "shared");
  Finish(first, "v");
  EXPECT_EQ(second.heard(), "coalesced v");
  EXPECT_EQ(Counts(Info(s_, m)), "hits 1, misses 6, coalesced 1, computations 6, currsize 1");
  context_.storing = true;
  Get(s_, m, "new");
  EXPECT_EQ(Get(s_, m, "new"), "hit =new");
}

TEST_F(MemoCacheTest, NoStoreIsALookupWhoseMissIsNotStored) {
  const auto& m = Method();
  EXPECT_EQ(Get(s_, m, "k", Control::kNoStore), "miss =k");
  EXPECT_EQ(Get(s_, m, "k"), "miss =k");
  EXPECT_EQ(Get(s_, m, "k", Control::kNoStore), "hit =k");
  EXPECT_EQ(Counts(Info(s_, m)), "hits 1, misses 2, computations 2, currsize 1");
}

TEST_F(MemoCacheTest, OnlyIfCachedIsALookupThatComputesNothing) {
  const auto& m = Method();
  const Caller& missed = Call(s_, m, "k", Control::kOnlyIfCached);
  EXPECT_FALSE(missed.computes());
  EXPECT_EQ(missed.heard(), "miss NOT_CACHED");
  EXPECT_EQ(missed.status().code(), absl::StatusCode::kFailedPrecondition);
  Get(s_, m, "k");
  EXPECT_EQ(Get(s_, m, "k", Control::kOnlyIfCached), "hit =k");
  EXPECT_EQ(Counts(Info(s_, m)), "hits 1, misses 2, computations 1, currsize 1");
}

// Too large

TEST_F(MemoCacheTest, AnswerBeyondMaxEntryBytesIsDeliveredCountedAndEvictsNothing) {
  const auto& m = Method({.max_entries = 1, .max_entry_bytes = 4});
  Finish(Call(s_, m, "a"), "4444");
  Caller& large = Call(s_, m, "b");
  Finish(large, "55555");
  EXPECT_EQ(large.heard(), "miss 55555");
  EXPECT_EQ(Get(s_, m, "a"), "hit 4444");
  EXPECT_EQ(Counts(Info(s_, m)), "hits 1, misses 2, computations 2, too_large 1, currsize 1");
}

// Charge

TEST_F(MemoCacheTest, ReplacingAdjustsTheChargeBothWays) {
  const auto& m = Method();
  for (const char* answer : {"middle", "much longer", ""}) {
    Finish(Call(s_, m, "k", Control::kRefresh), answer);
    EXPECT_EQ(Info(s_, m).bytes, ChargeOf("k", answer));
    EXPECT_EQ(context_.bytes.used(), ChargeOf("k", answer));
    EXPECT_EQ(Info(s_, m).currsize, 1);
  }
}

// Time

TEST_F(MemoCacheTest, EntryExpiresExactlyTtlAfterItWasComputed) {
  const auto& m = Method({.ttl = seconds(10)});
  Caller& first = Call(s_, m, "k");
  Advance(seconds(100));  // computing takes no time from its answer's life
  Finish(first, "v");
  Advance(seconds(10) - Duration(2));  // each call takes one tick
  EXPECT_EQ(Get(s_, m, "k"), "hit v");
  EXPECT_EQ(Get(s_, m, "k"), "miss =k");
  EXPECT_EQ(Counts(Info(s_, m)), "hits 1, misses 2, computations 2, expirations 1, currsize 1");
}

TEST_F(MemoCacheTest, HitsDoNotProlongLife) {
  const auto& m = Method({.ttl = seconds(10)});
  Get(s_, m, "k");
  for (int i = 0; i < 3; ++i) {
    Advance(seconds(3));
    EXPECT_EQ(Get(s_, m, "k"), "hit =k");
  }
  Advance(seconds(3));
  EXPECT_EQ(Get(s_, m, "k"), "miss =k");
}

TEST_F(MemoCacheTest, ExpiredEntriesCountInCurrsizeUntilTouched) {
  const auto& m = Method({.ttl = seconds(10)});
  Get(s_, m, "a");
  Get(s_, m, "b");
  Advance(seconds(11));
  EXPECT_EQ(Counts(Info(s_, m)), "misses 2, computations 2, currsize 2");
  Call(s_, m, "a", Control::kOnlyIfCached);
  EXPECT_EQ(Counts(Info(s_, m)), "misses 3, computations 2, expirations 1, currsize 1");
  EXPECT_EQ(Info(s_, m).bytes, ChargeOf("b", "=b"));
}

TEST_F(MemoCacheTest, ExpiredEntryThatIsEvictedIsAnExpiration) {
  const auto& m = Method({.max_entries = 2, .ttl = seconds(10)});
  Get(s_, m, "a");
  Advance(seconds(6));
  Get(s_, m, "b");
  Advance(seconds(6));
  Get(s_, m, "c");  // a is over age
  Get(s_, m, "d");  // b is not
  EXPECT_EQ(Counts(Info(s_, m)),
            "misses 4, computations 4, evictions 1, expirations 1, currsize 2");
}

TEST_F(MemoCacheTest, RefreshBeginsANewLife) {
  const auto& m = Method({.ttl = seconds(10)});
  Get(s_, m, "k");
  Advance(seconds(9));
  Get(s_, m, "k", Control::kRefresh);
  Advance(seconds(9));
  EXPECT_EQ(Get(s_, m, "k"), "hit =k");
}

TEST_F(MemoCacheTest, AgeOfAHitIsSinceItWasComputed) {
  const auto& m = Method();
  Get(s_, m, "k");
  Advance(seconds(7));
  EXPECT_EQ(Call(s_, m, "k").age(), seconds(7) + Duration(1));
  Advance(-seconds(20));  // a caller who looked at the clock before that
  EXPECT_EQ(Call(s_, m, "k").age(), seconds(0));
}

TEST_F(MemoCacheTest, HitsSaveWhatComputingTook) {
  const auto& m = Method();
  Caller& first = Call(s_, m, "k");
  Advance(seconds(3));
  Finish(first, "v");
  EXPECT_EQ(Info(s_, m).counters.compute_seconds_saved, 0);
  Get(s_, m, "k");
  Get(s_, m, "k");
  EXPECT_EQ(Info(s_, m).counters.compute_seconds_saved, 6);
}

TEST_F(MemoCacheTest, ComputingTakesTimeFromItsBeginningNotFromTheCall) {
  const auto& m = Method();
  begin_at_once_ = false;
  Caller& first = Call(s_, m, "k");
  EXPECT_EQ(Counts(Info(s_, m)), "misses 1, currsize 0");
  Advance(seconds(30));  // in a queue
  EXPECT_TRUE(first.flight()->Begin(now_));
  EXPECT_EQ(Counts(Info(s_, m)), "misses 1, computations 1, currsize 0");
  Advance(seconds(2));
  Finish(first, "v");
  Get(s_, m, "k");
  EXPECT_EQ(Info(s_, m).counters.compute_seconds_saved, 2);
}

// Clear

TEST_F(MemoCacheTest, ClearDropsEntriesAndCountersAndReturnsAReceipt) {
  const auto& m = Method({.max_entries = 2});
  Caller& slow = Call(s_, m, "k");
  Advance(seconds(3));
  Finish(slow, "v");
  Get(s_, m, "k");
  EXPECT_EQ(table_->Clear(s_.get(), &m), (Receipt{1, ChargeOf("k", "v"), 3}));
  EXPECT_EQ(Info(s_, m), (CacheInfo{{}, 2, 0, 0}));
  EXPECT_EQ(context_.bytes.used(), 0);
  EXPECT_EQ(Get(s_, m, "k"), "miss =k");
  EXPECT_EQ(Get(s_, m, "k"), "hit =k");
  EXPECT_EQ(Counts(Info(s_, m)), "hits 1, misses 1, computations 1, currsize 1");
}

TEST_F(MemoCacheTest, ClearForgetsRecency) {
  const auto& m = Method({.max_entries = 2});
  for (const char* key : {"a", "b", "a"}) Get(s_, m, key);
  table_->Clear(s_.get(), &m);
  for (const char* key : {"a", "b", "c"}) Get(s_, m, key);
  EXPECT_EQ(Get(s_, m, "b"), "hit =b");
  EXPECT_EQ(Get(s_, m, "a"), "miss =a");
}

TEST_F(MemoCacheTest, ClearingAnEmptyCacheIsFine) {
  const auto& m = Method();
  EXPECT_EQ(table_->Clear(s_.get(), &m), Receipt{});
  EXPECT_EQ(table_->Clear(s_.get(), nullptr), Receipt{});
  EXPECT_EQ(Get(s_, m, "k"), "miss =k");
}

TEST_F(MemoCacheTest, ClearLeavesOtherMethodsAndSessionsAlone) {
  const auto &m = Method(), &other = Method();
  const SessionPtr another = Open();
  Get(s_, m, "k");
  Get(s_, other, "k");
  Get(another, m, "k");
  EXPECT_EQ(table_->Clear(s_.get(), &m).entries, 1);
  EXPECT_EQ(Get(s_, other, "k"), "hit =k");
  EXPECT_EQ(Get(another, m, "k"), "hit =k");
  EXPECT_EQ(table_->Clear(s_.get(), nullptr).entries, 1);
  EXPECT_EQ(Get(another, m, "k"), "hit =k");
}

TEST_F(MemoCacheTest, ParametersDoNotChangeByUseOrClear) {
  const auto& m = Method({.max_entries = 1, .max_entries_total = -5, .ttl = seconds(9)});
  Get(s_, m, "a");
  table_->Clear(nullptr, nullptr);
  EXPECT_EQ(m.policy.max_entries, 1);
  EXPECT_EQ(m.policy.max_entries_total, 0);  // negative reads as 0
  EXPECT_EQ(m.policy.ttl, seconds(9));
  EXPECT_EQ(Info(s_, m).maxsize, 1);
}

// Expired answers instead of errors

TEST_F(MemoCacheTest, StaleIfErrorGivesWhatExpiredNotLongAgo) {
  const auto& m = Method({.ttl = seconds(10), .stale_if_error = seconds(5)});
  const SessionPtr s = Open();
  EXPECT_EQ(Get(s, m, "k"), "miss =k");
  Advance(seconds(12));
  Caller &first = Call(s, m, "k"), &second = Call(s, m, "k");
  EXPECT_TRUE(first.computes());
  Fail(first, absl::StatusCode::kUnavailable);
  EXPECT_EQ(first.heard(), "stale =k");
  EXPECT_EQ(second.heard(), "stale =k");
  EXPECT_GE(first.age(), seconds(12));
  EXPECT_EQ(Counts(Info(s, m)), "misses 3, coalesced 1, computations 2, errors 1, currsize 1");
  Advance(seconds(2));
  EXPECT_EQ(Get(s, m, "k"), "miss =k");  // it works again, and is stored
  EXPECT_EQ(Get(s, m, "k"), "hit =k");
  Advance(seconds(15));
  Caller& too_late = Call(s, m, "k");
  Fail(too_late, absl::StatusCode::kUnavailable);
  EXPECT_EQ(too_late.heard(), "miss UNAVAILABLE");
  EXPECT_EQ(Info(s, m).counters.expirations, 1);
}

TEST_F(MemoCacheTest, StaleIfErrorIsOnlyForUnavailableAndNotForABypass) {
  const auto& m = Method({.ttl = seconds(10), .stale_if_error = seconds(5)});
  const SessionPtr s = Open();
  Get(s, m, "k");
  Advance(seconds(12));
  Caller& other = Call(s, m, "k");
  Fail(other, absl::StatusCode::kInternal);
  EXPECT_EQ(other.heard(), "miss INTERNAL");
  Caller& bypass = Call(s, m, "k", Control::kBypass);
  Fail(bypass, absl::StatusCode::kUnavailable);
  EXPECT_EQ(bypass.heard(), "bypass UNAVAILABLE");
  EXPECT_EQ(Get(s, m, "k", Control::kOnlyIfCached), "miss NOT_CACHED");
}

}  // namespace
}  // namespace memod
