// Every way to cache a method in Python that memod can express: one test each, named after it. See
// tests/README.md.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memod/tests/testing/server_test.h"

namespace memod {
namespace {

using std::chrono::milliseconds;

class ModelsTest : public ServerTest {
 protected:
  // The number of the instance that computed it, in place of what it is asked for.
  void AnswerWithInstance(const std::string& key) {
    lab.On(key, [](Computing& c) { return absl::StrCat("instance ", c.instance); });
  }
};

// functools.lru_cache on a function: see also functools_test.cc, which runs both side by side.
TEST_F(ModelsTest, LruCacheOnAFunctionIsOneCacheForEverybody) {
  Serve({.probe = {.shared = {.max_entries = 2}}});
  const CallOptions shared{.method = kShared};
  const SessionHandle a = Open("a");
  EXPECT_EQ(Get(a, "x", shared), "miss x");
  EXPECT_EQ(Ask(std::nullopt, Request("x"), shared).Words(), "hit x");
  EXPECT_EQ(Get(a, "y", shared), "miss y");
  EXPECT_EQ(Get(a, "z", shared), "miss z");  // x goes
  EXPECT_EQ(Get(a, "x", shared), "miss x");  // y goes
  EXPECT_EQ(Get(a, "z", shared), "hit z");
  EXPECT_EQ(Total(kShared), "hits 2, misses 4, computations 4, evictions 2, currsize 2");
}

// lru_cache on a method: its entries hold `self`, and the instance lives on.
class LeakTest : public ServerTest, public testing::WithParamInterface<std::optional<int64_t>> {};

TEST_P(LeakTest, LruCacheOnAMethodTheLeakIsImpossible) {
  constexpr int64_t kCalls = 200;
  Serve(MaxEntries(GetParam()));
  const SessionHandle stays = Open("stays");
  {
    const SessionHandle goes = Open("goes");
    for (int i = 0; i < kCalls; ++i) Get(goes, absl::StrCat(i));
    EXPECT_EQ(lab.instances(), 2);
    EXPECT_EQ(CacheInfoOf(goes, kCompute).currsize(),
              std::min(GetParam().value_or(kCalls), kCalls));
  }
  EXPECT_TRUE(AliveSoon("sessions 1, instances 1"));
  EXPECT_EQ(lab.instances(), 1);
}

INSTANTIATE_TEST_SUITE_P(MaxEntries, LeakTest, testing::Values(0, 1, 128, std::nullopt),
                         [](const auto& info) {
                           return info.param ? std::to_string(*info.param) : "unbounded";
                         });

// A cache built in the constructor, memoized_method, methodtools.lru_cache, instance_lru_cache.
TEST_F(ModelsTest, CachePerInstanceHasItsOwnEntriesCountersAndBound) {
  Serve(MaxEntries(2));
  const SessionHandle a = Open("a");
  const SessionHandle b = Open("b");
  EXPECT_EQ(Get(a, "x"), "miss a:x");
  EXPECT_EQ(Get(b, "x"), "miss b:x");
  for (const char* key : {"1", "2", "3"}) Get(b, key);  // more than its bound
  EXPECT_EQ(Get(a, "x"), "hit a:x");
  EXPECT_EQ(Info(a), "hits 1, misses 1, computations 1, currsize 1");
  EXPECT_EQ(Info(b), "misses 4, computations 4, evictions 2, currsize 2");
  EXPECT_EQ(Total(), "hits 1, misses 5, computations 5, evictions 2, currsize 3");
}

// A WeakKeyDictionary of caches finds one by equality, and so runs on the first of equal instances.
TEST_F(ModelsTest, WeakKeyDictionaryIdentityOfASessionIsNotItsState) {
  Serve();
  AnswerWithInstance("x");
  const SessionHandle first = Open("same");
  const SessionHandle second = Open("same");
  EXPECT_EQ(Get(first, "x"), "miss instance 1");
  EXPECT_EQ(Get(second, "x"), "miss instance 2");
  EXPECT_EQ(Get(first, "x"), "hit instance 1");
  EXPECT_NE(first.handle(), second.handle());
  EXPECT_NE(first.id(), second.id());
}

// weak_lru: one bound over all instances; and, what it does not do, the entries go with their own.
TEST_F(ModelsTest, WeakLruTotalBoundHoldsOverAllSessionsAndClosingFreesRoom) {
  Serve({.probe = {.compute = {.max_entries = std::nullopt, .max_entries_total = 3}}});
  const SessionHandle a = Open("a");
  {
    const SessionHandle b = Open("b");
    Get(a, "1");
    Get(b, "1");
    Get(a, "2");
    EXPECT_EQ(Get(a, "1"), "hit a:1");
    Get(b, "2");  // b's 1 is the least recent of all
    EXPECT_EQ(Get(b, "1", {.control = "only-if-cached"}), "FAILED_PRECONDITION NOT_CACHED");
    Get(b, "3");  // then a's 2
    EXPECT_EQ(Get(a, "2", {.control = "only-if-cached"}), "FAILED_PRECONDITION NOT_CACHED");
    EXPECT_EQ(Get(a, "1"), "hit a:1");
    const auto total = AdminInfo("", kCompute).total();
    EXPECT_EQ(total.maxsize(), 3);
    EXPECT_EQ(total.currsize(), 3);
    EXPECT_EQ(total.evictions(), 2);
  }
  EXPECT_TRUE(AliveSoon("sessions 1, instances 1, entries 1"));
  Get(a, "2");
  Get(a, "3");
  EXPECT_EQ(AdminInfo("", kCompute).total().evictions(), 2) << "b's entries were not given back";
}

TEST_F(ModelsTest, WeakLruTotalBoundIsNeverExceededUnderLoad) {
  Serve({.probe = {.compute = {.max_entries = 4, .max_entries_total = 5}}});
  std::vector<SessionHandle> open;
  for (int s = 0; s < 4; ++s) open.push_back(Open(absl::StrCat(s)));
  for (int round = 0; round < 20; ++round) {
    std::vector<Call*> calls;
    for (const SessionHandle& session : open) {
      for (int i = 0; i < 4; ++i) calls.push_back(&Start(session, absl::StrCat(round, " ", i)));
    }
    for (Call* call : calls) call->Wait();
    EXPECT_EQ(AdminInfo("", kCompute).total().currsize(), 5);
  }
}

// Mutable attributes: __eq__ and __hash__ over the state.
TEST_F(ModelsTest, MutableAttributesUpdateStateComputesOnTheNewState) {
  Serve();
  SessionHandle session = Open("old");
  EXPECT_EQ(Get(session, "x"), "miss old:x");
  EXPECT_EQ(Get(session, "x"), "hit old:x");
  const auto receipt = session.UpdateState(State("new"));
  EXPECT_EQ(receipt.value().entries(), 1);
  EXPECT_EQ(Info(session), "currsize 0");
  EXPECT_EQ(Get(session, "x"), "miss new:x");
  EXPECT_EQ(Get(session, "x"), "hit new:x");
  EXPECT_TRUE(AliveSoon("sessions 1, instances 1, entries 1"));
}

TEST_F(ModelsTest, MutableAttributesAnswerBegunBeforeUpdateStateIsNotStored) {
  Serve();
  SessionHandle session = Open("old");
  lab.On("x", [&](Computing& c) {
    if (c.nth == 1) lab.gate("x").Pass();
    return c.self;
  });
  Call& begun = Start(session, "x");
  ASSERT_TRUE(lab.gate("x").AwaitArrived());
  EXPECT_TRUE(session.UpdateState(State("new")).ok());
  EXPECT_EQ(Get(session, "x"), "miss new");
  lab.gate("x").Open();
  EXPECT_EQ(begun.Words(), "miss old");
  EXPECT_EQ(Get(session, "x"), "hit new");
}

// @staticmethod, @classmethod, a module-level function: no `self` in the key.
TEST_F(ModelsTest, StaticmethodServerScopeHitsAcrossSessionsAndAfterTheyClose) {
  Serve();
  const CallOptions static_method{.method = kStatic};
  {
    const SessionHandle first = Open("first");
    EXPECT_EQ(Get(first, "x", static_method), "miss x");
    const SessionHandle second = Open("second");
    EXPECT_EQ(Get(second, "x", static_method), "hit x");
  }
  EXPECT_TRUE(AliveSoon("entries 1"));
  EXPECT_EQ(Get(Open("third"), "x", static_method), "hit x");
  EXPECT_EQ(lab.computed("x"), 1);
}

// cached_property
TEST_F(ModelsTest, CachedPropertyIsComputedOnceUnderConcurrencyAndReleasedOnDrop) {
  Serve();
  lab.On("", [&](Computing& c) {
    lab.gate("property").Pass();
    return c.self;
  });
  {
    const SessionHandle session = Open("a");
    const auto calls = StartMany(session, "", 20, {.method = kProperty});
    lab.gate("property").Open();
    for (Call* call : calls) call->Wait();
    EXPECT_EQ(Get(session, "", {.method = kProperty}), "hit a");
    for (int i = 0; i < 200; ++i) Get(session, absl::StrCat(i));  // whatever else is evicted
    EXPECT_EQ(Get(session, "", {.method = kProperty}), "hit a");
    EXPECT_EQ(lab.computed(""), 1);
    EXPECT_FALSE(CacheInfoOf(session, kProperty).has_maxsize());
  }
  EXPECT_TRUE(AliveSoon("nothing"));
}

// cachetools.cached with methodkey: one cache per class, whoever's `self`.
TEST_F(ModelsTest, CachetoolsMethodkeyIsImpossibleWhateverThePolicySays) {
  Serve({.probe = {.compute = {.scope = Scope::kServer}}});
  const SessionHandle a = Open("a");
  const SessionHandle b = Open("b");
  EXPECT_EQ(Get(a, "x"), "miss a:x");
  EXPECT_EQ(Get(b, "x"), "miss b:x");
  EXPECT_EQ(CacheInfoOf(a, kCompute).policy().scope(), "session");
}

// cachetools.cachedmethod and methodcache: a cache object per instance, seen from outside.
TEST_F(ModelsTest, CachedmethodCachesOfASessionAreListedFromOutside) {
  Serve();
  const SessionHandle a = Open("a");
  Get(a, "x");
  Get(a, "x");
  Get(a, "x", {.method = kOther});
  std::vector<std::string> listed;
  const auto info = AdminInfo(a.id());
  for (const auto& part : info.methods()) {
    listed.push_back(absl::StrCat(part.method(), ": ", Counts(part.info())));
  }
  EXPECT_EQ(listed, (std::vector<std::string>{
                        "/memo.testing.v1.Probe/Compute: hits 1, misses 1, computations 1, "
                        "currsize 1",
                        "/memo.testing.v1.Probe/Other: misses 1, computations 1, currsize 1",
                        "/memo.testing.v1.Probe/Property: currsize 0"}));
}

// cachetools.TTLCache
TEST_F(ModelsTest, TtlCacheExpiresAnEntryThatLongAfterItWasComputed) {
  Serve({.probe = {.compute = {.ttl = milliseconds(50)}, .other = {.ttl = std::chrono::hours(1)}}});
  const SessionHandle session = Open("a");
  Get(session, "x", {.method = kOther});
  EXPECT_EQ(Get(session, "x"), "miss a:x");
  EXPECT_TRUE(Soon([&] { return Get(session, "x"); }, "miss a:x"));
  EXPECT_EQ(Get(session, "x", {.method = kOther}), "hit a:x");
  const auto info = CacheInfoOf(session, kCompute);
  EXPECT_EQ(info.misses(), 2);
  EXPECT_EQ(info.expirations(), 1);
  EXPECT_EQ(info.evictions(), 0);
  EXPECT_EQ(info.currsize(), 1);
}

// cachetools' getsizeof
TEST_F(ModelsTest, GetsizeofBoundIsOnBytesOverEverything) {
  ServeOptions options = MaxEntries(std::nullopt);
  options.config.cache.max_bytes = 100'000;
  Serve(options);
  const SessionHandle a = Open("a");
  const SessionHandle b = Open("b");
  lab.On("large", [](Computing&) { return std::string(60'000, 'x'); });
  for (int i = 0; i < 100; ++i) Get(a, absl::StrCat(i));
  Get(b, "large");
  const auto total = AdminInfo().total();
  EXPECT_EQ(total.evictions(), 0);
  EXPECT_GT(total.bytes(), 60'000);
  Get(a, "large");  // what was not used for longest goes, whosever it is
  EXPECT_LE(AdminInfo().gauges().bytes(), 100'000);
  EXPECT_EQ(Get(a, "0", {.control = "only-if-cached"}), "FAILED_PRECONDITION NOT_CACHED");
  EXPECT_EQ(Get(b, "large", {.control = "only-if-cached"}), "FAILED_PRECONDITION NOT_CACHED");
  EXPECT_EQ(Get(a, "large").substr(0, 5), "hit x");
}

// ring's update of one key; its delete: semantics_forget_test.cc.
TEST_F(ModelsTest, RingUpdateRefreshesThatEntryOnly) {
  Serve();
  const SessionHandle session = Open("a");
  lab.On("x", [](Computing& c) { return absl::StrCat("version ", c.nth); });
  Get(session, "x");
  Get(session, "y");
  EXPECT_EQ(Get(session, "x", {.control = "refresh"}), "miss version 2");
  EXPECT_EQ(Get(session, "x"), "hit version 2");
  EXPECT_EQ(Get(session, "y"), "hit a:y");
  EXPECT_EQ(lab.computed("y"), 1);
}

// f.__wrapped__
TEST_F(ModelsTest, WrappedBypassComputesAndChangesNothing) {
  Serve(MaxEntries(2));
  const SessionHandle session = Open("a");
  lab.On("x", [](Computing& c) { return absl::StrCat("version ", c.nth); });
  Get(session, "x");
  Get(session, "y");
  const std::string before = Info(session);
  EXPECT_EQ(Get(session, "x", {.control = "bypass"}), "bypass version 2");
  EXPECT_EQ(Get(session, "never", {.control = "bypass"}), "bypass a:never");
  EXPECT_EQ(Info(session), before);
  Get(session, "z");  // x is still the least recent
  EXPECT_EQ(Get(session, "y"), "hit a:y");
  EXPECT_EQ(Get(session, "x", {.control = "only-if-cached"}), "FAILED_PRECONDITION NOT_CACHED");
}

}  // namespace
}  // namespace memod
