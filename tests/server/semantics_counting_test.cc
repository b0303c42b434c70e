// What the counters say, and the bounds on entries: each bullet of "Counting and bounds" and
// "Keys".
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memod/tests/testing/server_test.h"

namespace memod {
namespace {

const CallOptions kBypass{.control = "bypass"};
const CallOptions kRefresh{.control = "refresh"};
const CallOptions kNoStore{.control = "no-store"};
const CallOptions kOnlyIfCached{.control = "only-if-cached"};

class CountingTest : public ServerTest {
 protected:
  // Answers with which computation of the key it is.
  void AnswerWithVersion(const std::string& key) {
    lab.On(key, [](Computing& c) { return absl::StrCat("v", c.nth); });
  }
};

TEST_F(CountingTest, NewCacheSaysZeroAndItsBoundBeforeItsFirstCall) {
  Serve(MaxEntries(7));
  const SessionHandle session = Open("a");
  for (const auto& info :
       {CacheInfoOf(session, kCompute), AdminInfo(session.id(), kCompute).total()}) {
    EXPECT_EQ(Counts(info), "currsize 0");
    EXPECT_EQ(info.maxsize(), 7);
    EXPECT_EQ(info.bytes(), 0);
    EXPECT_EQ(info.compute_seconds_saved(), 0);
  }
  EXPECT_EQ(Total(), "currsize 0");
}

TEST_F(CountingTest, EverySnapshotIsConsistentUnderLoad) {
  Serve(MaxEntries(3));
  const SessionHandle session = Open("a");
  std::atomic<bool> done = false;
  std::vector<std::thread> callers;
  for (int t = 0; t < 4; ++t) {
    callers.emplace_back([&, t] {
      for (int i = 0; !done; ++i) Get(session, absl::StrCat((i * (t + 1)) % 7));
    });
  }
  int64_t lookups = 0;
  for (int i = 0; i < 300; ++i) {
    const auto info = CacheInfoOf(session, kCompute);
    EXPECT_GE(info.hits() + info.misses(), lookups);
    lookups = info.hits() + info.misses();
    EXPECT_LE(info.currsize(), 3);
    // No error, no control, no clear: each miss joins or computes; what is stored stays or goes.
    EXPECT_LE(info.coalesced() + info.computations(), info.misses());
    EXPECT_LE(info.currsize() + info.evictions(), info.computations());
  }
  done = true;
  for (std::thread& caller : callers) caller.join();
  const auto info = CacheInfoOf(session, kCompute);
  EXPECT_EQ(info.misses(), info.coalesced() + info.computations());
}

TEST_F(CountingTest, BypassReadsNothingStoresNothingCountsNothing) {
  Serve();
  const SessionHandle session = Open("a");
  AnswerWithVersion("x");
  EXPECT_EQ(Get(session, "x", kBypass), "bypass v1");
  EXPECT_EQ(Info(session), "currsize 0");
  EXPECT_EQ(Get(session, "x"), "miss v2");
  EXPECT_EQ(Get(session, "x", kBypass), "bypass v3");
  EXPECT_EQ(Get(session, "x"), "hit v2");
  EXPECT_EQ(Info(session), "hits 1, misses 1, computations 1, currsize 1");
}

TEST_F(CountingTest, RefreshComputesAndReplacesAndIsNoLookup) {
  Serve();
  const SessionHandle session = Open("a");
  AnswerWithVersion("x");
  EXPECT_EQ(Get(session, "x", kRefresh), "miss v1");
  EXPECT_EQ(Info(session), "computations 1, currsize 1");
  EXPECT_EQ(Get(session, "x", kRefresh), "miss v2");
  EXPECT_EQ(Get(session, "x"), "hit v2");
  EXPECT_EQ(Info(session), "hits 1, computations 2, currsize 1");
}

TEST_F(CountingTest, NoStoreIsALookupWhoseMissIsNotStored) {
  Serve();
  const SessionHandle session = Open("a");
  AnswerWithVersion("x");
  EXPECT_EQ(Get(session, "x", kNoStore), "miss v1");
  EXPECT_EQ(Info(session), "misses 1, computations 1, currsize 0");
  EXPECT_EQ(Get(session, "x"), "miss v2");
  EXPECT_EQ(Get(session, "x", kNoStore), "hit v2");
  EXPECT_EQ(Info(session), "hits 1, misses 2, computations 2, currsize 1");
}

TEST_F(CountingTest, OnlyIfCachedIsALookupWhoseMissComputesNothing) {
  Serve();
  const SessionHandle session = Open("a");
  const Told missed = Ask(session.handle(), Request("x"), kOnlyIfCached);
  EXPECT_EQ(missed.Words(), "FAILED_PRECONDITION NOT_CACHED");
  EXPECT_EQ(lab.computed("x"), 0);
  EXPECT_EQ(Info(session), "misses 1, currsize 0");
  Get(session, "x");
  EXPECT_EQ(Get(session, "x", kOnlyIfCached), "hit a:x");
  EXPECT_EQ(Info(session), "hits 1, misses 2, computations 1, currsize 1");
}

TEST_F(CountingTest, MaxEntriesIs128UnlessSaidOtherwise) {
  Serve();
  const SessionHandle session = Open("a");
  for (int i = 0; i < 130; ++i) Get(session, absl::StrCat(i));
  EXPECT_EQ(Info(session), "misses 130, computations 130, evictions 2, currsize 128");
  EXPECT_EQ(CacheInfoOf(session, kCompute).maxsize(), 128);
  EXPECT_EQ(CacheInfoOf(session, kCompute).policy().max_entries(), 128);
}

TEST_F(CountingTest, MaxEntriesZeroComputesAlways) {
  Serve(MaxEntries(0));
  const SessionHandle session = Open("a");
  EXPECT_EQ(Get(session, "x"), "miss a:x");
  EXPECT_EQ(Get(session, "x"), "miss a:x");
  EXPECT_EQ(Get(session, "x", kRefresh), "miss a:x");
  EXPECT_EQ(Info(session), "misses 2, computations 3, currsize 0");
  EXPECT_TRUE(CacheInfoOf(session, kCompute).has_maxsize());
  EXPECT_EQ(CacheInfoOf(session, kCompute).maxsize(), 0);
}

TEST_F(CountingTest, MaxEntriesNegativeReadsBackAsZero) {
  Serve(MaxEntries(-5));
  const SessionHandle session = Open("a");
  EXPECT_EQ(Get(session, "x"), "miss a:x");
  EXPECT_EQ(Get(session, "x"), "miss a:x");
  const auto info = CacheInfoOf(session, kCompute);
  EXPECT_TRUE(info.has_maxsize());
  EXPECT_EQ(info.maxsize(), 0);
  EXPECT_TRUE(info.policy().has_max_entries());
  EXPECT_EQ(info.policy().max_entries(), 0);
}

TEST_F(CountingTest, MaxEntriesUnboundedReadsBackAsNull) {
  Serve(MaxEntries(std::nullopt));
  const SessionHandle session = Open("a");
  for (int i = 0; i < 500; ++i) Get(session, absl::StrCat(i));
  const auto info = CacheInfoOf(session, kCompute);
  EXPECT_FALSE(info.has_maxsize());
  EXPECT_FALSE(info.policy().has_max_entries());
  EXPECT_EQ(info.currsize(), 500);
}

TEST_F(CountingTest, HitMakesItsEntryTheMostRecent) {
  Serve(MaxEntries(2));
  const SessionHandle session = Open("a");
  for (const char* key : {"x", "y", "x", "z"}) Get(session, key);
  EXPECT_EQ(Get(session, "x", kOnlyIfCached), "hit a:x");
  EXPECT_EQ(Get(session, "y", kOnlyIfCached), "FAILED_PRECONDITION NOT_CACHED");
}

TEST_F(CountingTest, ReadingStatisticsDoesNotTouchRecency) {
  Serve(MaxEntries(2));
  const SessionHandle session = Open("a");
  Get(session, "x");
  Get(session, "y");
  const std::string before = Info(session);
  AdminInfo(session.id(), kCompute);
  AdminInfo();
  memo::v1::ListSessionsResponse listed;
  grpc::ClientContext context;
  EXPECT_TRUE(admin->ListSessions(&context, {}, &listed).ok());
  EXPECT_EQ(Info(session), before);
  Get(session, "z");
  EXPECT_EQ(Get(session, "y", kOnlyIfCached), "hit a:y");
  EXPECT_EQ(Get(session, "x", kOnlyIfCached), "FAILED_PRECONDITION NOT_CACHED");
}

TEST_F(CountingTest, StoringAKeyAgainReplacesValueAndCharge) {
  Serve();
  const SessionHandle session = Open("a");
  lab.On("x", [](Computing& c) { return std::string(c.nth == 2 ? 1107 : 100, 'x'); });
  Get(session, "x");
  const int64_t bytes = CacheInfoOf(session, kCompute).bytes();
  Get(session, "x", kRefresh);
  EXPECT_EQ(CacheInfoOf(session, kCompute).bytes(), bytes + 1008);  // one more for its length
  Get(session, "x", kRefresh);
  EXPECT_EQ(CacheInfoOf(session, kCompute).bytes(), bytes);
  EXPECT_EQ(Info(session), "misses 1, computations 3, currsize 1");
  EXPECT_EQ(AdminInfo().gauges().bytes(), bytes);
}

TEST_F(CountingTest, ClearForgetsEntriesCountersAndRecencyOfThatCacheOnly) {
  Serve(MaxEntries(2));
  SessionHandle session = Open("a");
  const SessionHandle other = Open("b");
  for (const char* key : {"x", "y", "x"}) Get(session, key);
  Get(session, "x", {.method = kOther});
  Get(other, "x");
  EXPECT_EQ(session.ClearCache(kCompute).value().entries(), 2);
  EXPECT_EQ(Info(session), "currsize 0");
  EXPECT_EQ(CacheInfoOf(session, kCompute).bytes(), 0);
  EXPECT_EQ(Info(session, kOther), "misses 1, computations 1, currsize 1");
  EXPECT_EQ(Info(other), "misses 1, computations 1, currsize 1");
  for (const char* key : {"y", "x", "z"}) EXPECT_EQ(Get(session, key).substr(0, 4), "miss");
  EXPECT_EQ(Get(session, "x"), "hit a:x");
  EXPECT_EQ(Info(session), "hits 1, misses 3, computations 3, evictions 1, currsize 2");
}

TEST_F(CountingTest, ClearingAnEmptyCacheIsFine) {
  Serve();
  SessionHandle session = Open("a");
  for (const char* method : {"", kCompute, kCompute}) {
    const auto receipt = session.ClearCache(method);
    ASSERT_TRUE(receipt.ok());
    EXPECT_EQ(receipt->entries(), 0);
    EXPECT_EQ(receipt->bytes(), 0);
  }
  EXPECT_EQ(Get(session, "x"), "miss a:x");
}

TEST_F(CountingTest, ParametersCanBeReadAndDoNotChangeByUseOrClear) {
  Policy policy{.max_entries = 3, .max_entries_total = 10, .max_entry_bytes = 1000};
  policy.ttl = std::chrono::minutes(10);
  policy.compute_timeout = std::chrono::seconds(7);
  policy.coalesce = false;
  Serve({.probe = {.compute = policy}});
  SessionHandle session = Open("a");
  const auto expect_parameters = [&] {
    const auto said = CacheInfoOf(session, kCompute).policy();
    EXPECT_EQ(said.max_entries(), 3);
    EXPECT_EQ(said.max_entries_total(), 10);
    EXPECT_EQ(said.max_entry_bytes(), 1000);
    EXPECT_EQ(said.ttl().seconds(), 600);
    EXPECT_EQ(said.compute_timeout().seconds(), 7);
    EXPECT_FALSE(said.coalesce());
    EXPECT_EQ(said.scope(), "session");
    EXPECT_TRUE(said.typed());
    EXPECT_EQ(AdminInfo("", kShared).total().policy().scope(), "server");
  };
  expect_parameters();
  for (int i = 0; i < 5; ++i) Get(session, absl::StrCat(i));
  expect_parameters();
  EXPECT_TRUE(session.ClearCache().ok());
  expect_parameters();
}

TEST_F(CountingTest, AnEmptyAnswerIsStored) {
  Serve();
  const SessionHandle session = Open("a");
  lab.On("x", [](Computing&) { return ""; });
  EXPECT_EQ(Ask(session.handle(), Request("x")).bytes, "");
  EXPECT_EQ(Get(session, "x"), "hit ");
  EXPECT_EQ(Info(session), "hits 1, misses 1, computations 1, currsize 1");
}

TEST_F(CountingTest, HitSaysItsAgeAndAddsTheTimeThatItSaves) {
  Serve();
  const SessionHandle session = Open("a");
  EXPECT_EQ(Ask(session.handle(), Request("x")).Metadata("memo-age"), "");
  const Told hit = Ask(session.handle(), Request("x"));
  EXPECT_EQ(hit.Metadata("memo-cache"), "hit");
  EXPECT_EQ(hit.Metadata("memo-age"), "0");
  const double saved = CacheInfoOf(session, kCompute).compute_seconds_saved();
  EXPECT_GT(saved, 0);
  Get(session, "x");
  EXPECT_DOUBLE_EQ(CacheInfoOf(session, kCompute).compute_seconds_saved(), 2 * saved);
}

// Keys

TEST_F(CountingTest, TheSameRequestToTwoMethodsIsTwoEntries) {
  Serve();
  const SessionHandle session = Open("a");
  EXPECT_EQ(Get(session, "x"), "miss a:x");
  EXPECT_EQ(Get(session, "x", {.method = kOther}), "miss a:x");
  EXPECT_EQ(Get(session, "x", {.method = kShared}), "miss x");
  EXPECT_EQ(Get(session, "x", {.method = kStatic}), "miss x");
  EXPECT_EQ(Get(session, "x", {.method = kOther}), "hit a:x");
}

TEST_F(CountingTest, EqualMessagesInOtherBytesAreAnsweredTheSameWhateverTheyCost) {
  Serve();
  const SessionHandle session = Open("a");
  const std::string unknown_field = std::string("\x7a\x01?", 3);
  EXPECT_EQ(Ask(session.handle(), Request("x")).Words(), "miss a:x");
  EXPECT_EQ(Ask(session.handle(), Request("x") + unknown_field).Words(), "miss a:x");
  EXPECT_EQ(Ask(session.handle(), Request("x") + unknown_field).Words(), "hit a:x");
  EXPECT_EQ(Ask(session.handle(), Request("gone") + Request("x")).Words(), "miss a:x");
}

TEST_F(CountingTest, KeysAreComparedInFull) {
  Serve(MaxEntries(std::nullopt));
  const SessionHandle session = Open("a");
  std::vector<std::string> keys = {"", "x", std::string("x\0", 2), "xx", std::string(5000, 'x')};
  keys.push_back(keys.back() + "y");
  for (const std::string& key : keys) EXPECT_EQ(Get(session, key), "miss a:" + key);
  for (const std::string& key : keys) EXPECT_EQ(Get(session, key), "hit a:" + key);
}

}  // namespace
}  // namespace memod
