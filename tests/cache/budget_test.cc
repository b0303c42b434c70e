// Bounds over many caches: the entries of one method over all sessions, the bytes of the server.
#include "memod/cache/budget.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "memod/tests/cache/fixture.h"

namespace memod {
namespace {

// max_entries_total

class TotalEntriesTest : public CacheTest {
 protected:
  const SessionPtr s_ = Open(), t_ = Open(), u_ = Open();
  const MemoizedMethod& m_ = Method({.max_entries = std::nullopt, .max_entries_total = 3});
};

TEST_F(TotalEntriesTest, EvictsTheLeastRecentlyUsedOfAllSessions) {
  Get(s_, m_, "a");
  Get(t_, m_, "a");
  Get(u_, m_, "a");
  EXPECT_EQ(Get(s_, m_, "a"), "hit =a");
  Get(u_, m_, "b");  // the oldest is t's
  EXPECT_EQ(m_.bounds->total_entries.used(), 3);
  EXPECT_EQ(Counts(Info(t_, m_)), "misses 1, computations 1, evictions 1, currsize 0");
  Get(t_, m_, "c");  // now u's first
  EXPECT_EQ(Get(s_, m_, "a"), "hit =a");
  EXPECT_EQ(Get(u_, m_, "b"), "hit =b");
  EXPECT_EQ(Get(t_, m_, "c"), "hit =c");
  EXPECT_EQ(Counts(table_->GetTotals().Info(m_)),
            "hits 4, misses 5, computations 5, evictions 2, currsize 3");
}

TEST_F(TotalEntriesTest, IsExactWhenOldEntriesWereUsedSinceTheyWereRecorded) {
  Get(s_, m_, "a");
  Get(t_, m_, "b");
  Get(u_, m_, "c");
  for (int i = 0; i < 10; ++i) {  // s and t are used in turns, u never
    Get(s_, m_, "a");
    Get(t_, m_, "b");
  }
  Get(u_, m_, "d");
  EXPECT_EQ(Get(u_, m_, "c", Control::kOnlyIfCached), "miss NOT_CACHED");
  EXPECT_EQ(Get(t_, m_, "b"), "hit =b");
  Get(u_, m_, "e");  // a was last used before b and d
  EXPECT_EQ(Get(s_, m_, "a", Control::kOnlyIfCached), "miss NOT_CACHED");
  EXPECT_EQ(Get(u_, m_, "d"), "hit =d");
}

TEST_F(TotalEntriesTest, IsTheMaxsizeOfTheTotalOnly) {
  EXPECT_EQ(table_->GetTotals().Info(m_).maxsize, 3);
  EXPECT_EQ(Info(s_, m_).maxsize, std::nullopt);
  EXPECT_EQ(table_->GetTotals().Info(Method({.max_entries = 5})).maxsize, std::nullopt);
  EXPECT_EQ(table_->GetTotals().Info(Method({.max_entries = 5, .scope = Scope::kServer})).maxsize,
            5);
}

TEST_F(TotalEntriesTest, HoldsBesideMaxEntries) {
  const auto& m = Method({.max_entries = 2, .max_entries_total = 3});
  for (const char* key : {"a", "b", "c"}) Get(s_, m, key);
  EXPECT_EQ(Info(s_, m).currsize, 2);
  for (const char* key : {"a", "b"}) Get(t_, m, key);
  EXPECT_EQ(Info(s_, m).currsize, 1);
  EXPECT_EQ(Get(s_, m, "c"), "hit =c");
  EXPECT_EQ(table_->GetTotals().Info(m).currsize, 3);
}

TEST_F(TotalEntriesTest, ReplacingDoesNotUseMore) {
  for (int i = 0; i < 10; ++i) Get(s_, m_, "a", Control::kRefresh);
  EXPECT_EQ(m_.bounds->total_entries.used(), 1);
}

TEST_F(TotalEntriesTest, ExpiredEntryThatIsEvictedIsAnExpiration) {
  const auto& m = Method({.max_entries_total = 1, .ttl = seconds(10)});
  Get(s_, m, "a");
  Advance(seconds(11));
  Get(t_, m, "a");
  EXPECT_EQ(Counts(Info(s_, m)), "misses 1, computations 1, expirations 1, currsize 0");
}

TEST_F(TotalEntriesTest, ExpiredEntryThatIsTouchedIsGivenBack) {
  const auto& m = Method({.max_entries_total = 2, .ttl = seconds(10)});
  Get(s_, m, "a");
  Advance(seconds(11));
  Get(s_, m, "a", Control::kOnlyIfCached);
  EXPECT_EQ(m.bounds->total_entries.used(), 0);
}

TEST_F(TotalEntriesTest, ClearGivesBackAndTheCacheIsEvictedFromAgain) {
  for (const char* key : {"a", "b", "c"}) Get(s_, m_, key);
  table_->Clear(s_.get(), &m_);
  EXPECT_EQ(m_.bounds->total_entries.used(), 0);
  Get(t_, m_, "d");
  for (const char* key : {"a", "b"}) Get(s_, m_, key);
  Get(t_, m_, "d");
  Get(t_, m_, "e");  // s's first is the oldest again
  EXPECT_EQ(Get(s_, m_, "a", Control::kOnlyIfCached), "miss NOT_CACHED");
  EXPECT_EQ(Get(t_, m_, "d"), "hit =d");
  EXPECT_EQ(m_.bounds->total_entries.used(), 3);
}

TEST_F(TotalEntriesTest, CacheThatWasEmptiedByEvictionComesBack) {
  Get(s_, m_, "a");
  for (const char* key : {"a", "b", "c"}) Get(t_, m_, key);
  EXPECT_EQ(Info(s_, m_).currsize, 0);
  Get(s_, m_, "a");
  for (const char* key : {"d", "e", "f"}) Get(t_, m_, key);
  EXPECT_EQ(Info(s_, m_).currsize, 0);
  EXPECT_EQ(Info(t_, m_).currsize, 3);
}

TEST_F(TotalEntriesTest, CloseAndUpdateGiveBack) {
  Get(s_, m_, "a");
  Get(t_, m_, "a");
  Get(u_, m_, "a");
  Close(s_);
  EXPECT_EQ(m_.bounds->total_entries.used(), 2);
  Update(t_, "");
  EXPECT_EQ(m_.bounds->total_entries.used(), 1);
  Get(t_, m_, "b");
  Get(t_, m_, "c");
  EXPECT_EQ(Get(u_, m_, "a"), "hit =a");
}

TEST_F(TotalEntriesTest, OfOneMethodLeavesOthersAlone) {
  const auto& other = Method({.max_entries_total = 1});
  Get(s_, m_, "a");
  Get(s_, other, "a");
  Get(t_, other, "b");
  EXPECT_EQ(Get(s_, m_, "a"), "hit =a");
  EXPECT_EQ(Info(s_, other).currsize, 0);
}

// cache.max_bytes

class MaxBytesTest : public CacheTest {
 protected:
  // Room for three answers of one byte to requests of one byte.
  MaxBytesTest() : CacheTest(3 * ChargeOf("k", "v")) {}
  std::string GetV(const SessionPtr& session, const MemoizedMethod& method, const char* request) {
    Caller& caller = Call(session, method, request);
    if (caller.computes()) Finish(caller, "v");
    return caller.heard();
  }
  const SessionPtr s_ = Open(), t_ = Open();
  const MemoizedMethod &m_ = Method(), &n_ = Method();
};

TEST_F(MaxBytesTest, EvictsTheLeastRecentlyUsedOfAllSessionsAndMethods) {
  GetV(s_, m_, "a");
  GetV(t_, m_, "a");
  GetV(s_, n_, "a");
  GetV(s_, m_, "a");
  EXPECT_EQ(context_.bytes.used(), *context_.bytes.limit());
  GetV(t_, n_, "b");
  EXPECT_EQ(Info(t_, m_).counters.evictions, 1);
  GetV(t_, n_, "c");
  EXPECT_EQ(Info(s_, n_).counters.evictions, 1);
  EXPECT_EQ(GetV(s_, m_, "a"), "hit v");
  EXPECT_EQ(context_.bytes.used(), *context_.bytes.limit());
}

TEST_F(MaxBytesTest, LargeAnswerEvictsAsManyAsItNeeds) {
  GetV(s_, m_, "a");
  GetV(t_, m_, "b");
  GetV(s_, n_, "c");
  const std::string large(17, 'v');  // more than an eviction makes room for
  Finish(Call(t_, n_, "d"), large);
  EXPECT_EQ(Info(s_, m_).currsize, 0);
  EXPECT_EQ(Info(t_, m_).currsize, 0);
  EXPECT_EQ(GetV(s_, n_, "c"), "hit v");
  EXPECT_EQ(context_.bytes.used(), ChargeOf("k", "v") + ChargeOf("k", large));
}

TEST_F(MaxBytesTest, AnswerBeyondTheWholeBoundIsDeliveredCountedAndEvictsNothing) {
  GetV(s_, m_, "a");
  std::string fits;
  while (ChargeOf("b", fits + "x") <= *context_.bytes.limit()) fits += "x";
  const std::string too_large = fits + "x";
  Caller& large = Call(t_, m_, "b");
  Finish(large, too_large);
  EXPECT_EQ(large.heard(), "miss " + too_large);
  EXPECT_EQ(Counts(Info(t_, m_)), "misses 1, computations 1, too_large 1, currsize 0");
  EXPECT_EQ(GetV(s_, m_, "a"), "hit v");
  Finish(Call(t_, m_, "b"), fits);
  EXPECT_EQ(Info(t_, m_).currsize, 1);
  EXPECT_EQ(context_.bytes.used(), ChargeOf("b", fits));
}

TEST_F(MaxBytesTest, ServerScopeAndSessionsShareTheBound) {
  const auto& shared = Method({.scope = Scope::kServer});
  GetV(s_, shared, "a");
  for (const char* key : {"a", "b", "c"}) GetV(s_, m_, key);
  EXPECT_EQ(table_->GetTotals().Info(shared).currsize, 0);
  for (const char* key : {"a", "b", "c"}) GetV(s_, shared, key);
  EXPECT_EQ(Info(s_, m_).currsize, 0);
  table_->Clear(nullptr, &shared);
  EXPECT_EQ(context_.bytes.used(), 0);
}

TEST_F(MaxBytesTest, CloseGivesBack) {
  GetV(s_, m_, "a");
  GetV(s_, n_, "b");
  GetV(t_, m_, "c");
  EXPECT_EQ(Close(s_), (Receipt{2, 2 * ChargeOf("k", "v"), 0}));
  EXPECT_EQ(context_.bytes.used(), ChargeOf("k", "v"));
  GetV(t_, m_, "d");
  GetV(t_, m_, "e");
  EXPECT_EQ(GetV(t_, m_, "c"), "hit v");
}

TEST_F(MaxBytesTest, ShrinkEvictsTheLeastRecentlyUsedDownToWhatItIsTold) {
  GetV(s_, m_, "a");
  GetV(t_, m_, "b");
  GetV(s_, n_, "c");
  GetV(s_, m_, "a");
  context_.bytes.Shrink(3 * ChargeOf("k", "v"), now_);
  EXPECT_EQ(context_.entries, 3) << "no more than that is used";
  context_.bytes.Shrink(3 * ChargeOf("k", "v") - 1, now_);
  EXPECT_EQ(Info(t_, m_).counters.evictions, 1);
  context_.bytes.Shrink(ChargeOf("k", "v"), now_);
  EXPECT_EQ(Info(s_, n_).counters.evictions, 1);
  EXPECT_EQ(GetV(s_, m_, "a"), "hit v");
  context_.bytes.Shrink(0, now_);
  EXPECT_EQ(context_.bytes.used(), 0);
  GetV(t_, m_, "b");
  EXPECT_EQ(GetV(t_, m_, "b"), "hit v") << "the bound is as it was";
}

TEST_F(MaxBytesTest, ShrinkLeavesWhatIsGuaranteed) {
  context_.bytes.Guarantee(ChargeOf("k", "v"));
  GetV(s_, m_, "a");
  GetV(t_, m_, "b");
  GetV(t_, m_, "c");
  context_.bytes.Shrink(0, now_);
  EXPECT_EQ(GetV(s_, m_, "a"), "hit v");
  EXPECT_EQ(GetV(t_, m_, "c"), "hit v");
  EXPECT_EQ(context_.entries, 2);
}

// session.max_bytes

class SessionBytesTest : public CacheTest {
 protected:
  SessionBytesTest() : CacheTest(std::nullopt, {}, {.max_session_bytes = 3 * ChargeOf("k", "v")}) {}
  std::string GetV(const SessionPtr& session, const MemoizedMethod& method, const char* request) {
    Caller& caller = Call(session, method, request);
    if (caller.computes()) Finish(caller, "v");
    Advance(seconds(1));
    return caller.heard();
  }
  const MemoizedMethod &m_ = Method(), &n_ = Method();
};

TEST_F(SessionBytesTest, EvictsTheSessionsOwnOverAllItsMethods) {
  const SessionPtr s = Open(), t = Open();
  GetV(t, m_, "a");
  GetV(s, m_, "a");
  GetV(s, n_, "b");
  GetV(s, m_, "c");
  EXPECT_EQ(Info(s, m_).currsize + Info(s, n_).currsize, 3) << "at the bound";
  GetV(s, m_, "a");
  GetV(s, m_, "d");
  EXPECT_EQ(Counts(Info(s, n_)), "misses 1, computations 1, evictions 1, currsize 0");
  GetV(s, n_, "e");
  EXPECT_EQ(Counts(Info(s, m_)), "hits 1, misses 3, computations 3, evictions 1, currsize 2");
  EXPECT_EQ(GetV(s, m_, "a"), "hit v") << "c was less recent";
  EXPECT_EQ(GetV(t, m_, "a"), "hit v") << "another session's";
}

TEST_F(SessionBytesTest, AnswerBeyondTheBoundIsDeliveredCountedAndEvictsNothing) {
  const SessionPtr s = Open();
  GetV(s, m_, "a");
  std::string fits;
  while (ChargeOf("b", fits + "x") <= 3 * ChargeOf("k", "v")) fits += "x";
  const std::string too_large = fits + "x";
  Caller& large = Call(s, m_, "b");
  Finish(large, too_large);
  EXPECT_EQ(large.heard(), "miss " + too_large);
  EXPECT_EQ(Info(s, m_).counters.too_large, 1);
  EXPECT_EQ(GetV(s, m_, "a"), "hit v");
  Finish(Call(s, m_, "b"), fits);
  EXPECT_EQ(Info(s, m_).currsize, 1);
  EXPECT_EQ(context_.bytes.used(), ChargeOf("b", fits));
}

TEST_F(SessionBytesTest, IsOfAStateWhereSessionsShareIt) {
  const SessionPtr s = OpenShared("a"), t = OpenShared("a");
  for (const char* key : {"a", "b"}) GetV(s, m_, key);
  for (const char* key : {"c", "d"}) GetV(t, m_, key);
  EXPECT_EQ(Info(s, m_).currsize, 3);
  EXPECT_EQ(GetV(t, m_, "b"), "hit v");
}

TEST_F(SessionBytesTest, IsNotOfWhatAllShare) {
  const SessionPtr s = Open();
  const auto& shared = Method({.scope = Scope::kServer});
  for (const char* key : {"a", "b", "c", "d"}) GetV(s, shared, key);
  EXPECT_EQ(GetV(nullptr, shared, "a"), "hit v");
}

// The budget by itself

struct FakeMember final : Budget::Member {
  Left EvictOldest(const Budget&, const Eviction&, LruCache::Removed&) override {
    ++asked;
    return {.oldest = last_used};
  }
  std::optional<Time> last_used;
  int asked = 0;
};

TEST(BudgetTest, UnboundedAsksNobody) {
  Budget budget(std::nullopt);
  FakeMember member;
  budget.Enter(&member);
  budget.Charge(1'000'000);
  budget.Enforce(Time());
  EXPECT_EQ(member.asked, 0);
  EXPECT_EQ(budget.used(), 1'000'000);
}

TEST(BudgetTest, WithinItsLimitAsksNobody) {
  Budget budget(10);
  FakeMember member;
  member.last_used = Time(seconds(1));
  budget.Enter(&member);
  member.asked = 0;
  budget.Charge(10);
  budget.Enforce(Time());
  EXPECT_EQ(member.asked, 0);
}

TEST(BudgetTest, WhoLeftOrIsEmptyIsNotAskedAgain) {
  Budget budget(10);
  FakeMember left, empty;
  left.last_used = empty.last_used = Time(seconds(1));
  budget.Enter(&left);
  budget.Enter(&empty);
  budget.Leave(&left);
  budget.Leave(&left);
  empty.last_used.reset();
  left.asked = empty.asked = 0;
  budget.Charge(11);
  budget.Enforce(Time());  // ends, although nobody has anything
  EXPECT_EQ(left.asked, 0);
  EXPECT_EQ(empty.asked, 1);
  budget.Enforce(Time());
  EXPECT_EQ(empty.asked, 1);
}

}  // namespace
}  // namespace memod
