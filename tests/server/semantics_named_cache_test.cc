// Several methods sharing one cache, as with cachetools.cachedmethod: `cache` names it, and its
// bounds are over all of them.
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "memod/tests/testing/server_test.h"

namespace memod {
namespace {

using std::chrono::milliseconds;

const CallOptions kOfOther{.method = kOther};
const CallOptions kIfCached{.control = "only-if-cached"};
const CallOptions kOtherIfCached{.method = kOther, .control = "only-if-cached"};

class NamedCacheTest : public ServerTest {
 protected:
  static constexpr char kNotCached[] = "FAILED_PRECONDITION NOT_CACHED";

  void ServeTogether(Policy policy) {
    policy.cache = "both";
    ServeOptions options;
    options.probe.compute = options.probe.other = policy;
    Serve(options);
  }
};

TEST_F(NamedCacheTest, TwoMethodsShareItsBoundAndItsRecency) {
  ServeTogether({.max_entries = 3});
  const SessionHandle session = Open("a");
  Get(session, "1");
  Get(session, "2", kOfOther);
  Get(session, "3");
  EXPECT_EQ(Get(session, "1"), "hit a:1");
  Get(session, "4", kOfOther);  // other's 2 is the least recent
  EXPECT_EQ(Info(session), "hits 1, misses 2, computations 2, currsize 2");
  EXPECT_EQ(Info(session, kOther), "misses 2, computations 2, evictions 1, currsize 1");
  Get(session, "5", kOfOther);  // then Compute's 3
  EXPECT_EQ(Info(session), "hits 1, misses 2, computations 2, evictions 1, currsize 1");
  EXPECT_EQ(Info(session, kOther), "misses 3, computations 3, evictions 1, currsize 2");
  EXPECT_EQ(Get(session, "1"), "hit a:1");
  EXPECT_EQ(Get(session, "3", kIfCached), kNotCached);
  EXPECT_EQ(Get(session, "2", kOtherIfCached), kNotCached);
}

TEST_F(NamedCacheTest, EachSaysItsOwnCurrsizeAndTheCommonMaxsize) {
  ServeTogether({.max_entries = 3});
  const SessionHandle session = Open("a");
  EXPECT_EQ(CacheInfoOf(session, kCompute).maxsize(), 3) << "also before its first call";
  for (const char* key : {"1", "2"}) Get(session, key);
  Get(session, "1", kOfOther);
  const auto compute = CacheInfoOf(session, kCompute), other = CacheInfoOf(session, kOther);
  EXPECT_EQ(compute.maxsize(), 3);
  EXPECT_EQ(other.maxsize(), 3);
  EXPECT_EQ(compute.currsize(), 2);
  EXPECT_EQ(other.currsize(), 1);
  EXPECT_EQ(compute.policy().cache(), "both");
  const auto sum = CacheInfoOf(session, "");
  EXPECT_EQ(sum.currsize(), 3);
  EXPECT_EQ(sum.bytes(), compute.bytes() + other.bytes());
  EXPECT_EQ(AdminInfo().gauges().bytes(), sum.bytes());
  EXPECT_EQ(CacheInfoOf(session, kProperty).policy().cache(), kProperty);
}

TEST_F(NamedCacheTest, KeysOfTwoMethodsNeverCollide) {
  ServeTogether({});
  const SessionHandle session = Open("a");
  lab.On("x", [](Computing& c) { return c.context == nullptr ? "other's" : "Compute's"; });
  EXPECT_EQ(Get(session, "x"), "miss Compute's");
  EXPECT_EQ(Get(session, "x", kOfOther), "miss other's");
  EXPECT_EQ(Get(session, "x"), "hit Compute's");
  EXPECT_EQ(Get(session, "x", kOfOther), "hit other's");
}

TEST_F(NamedCacheTest, SessionsDoNotShareIt) {
  ServeTogether({.max_entries = 2});
  const SessionHandle a = Open("a");
  const SessionHandle b = Open("b");
  Get(a, "x");
  for (const char* key : {"1", "2", "3"}) Get(b, key, kOfOther);
  EXPECT_EQ(Get(a, "x"), "hit a:x");
}

TEST_F(NamedCacheTest, ClearOfOneMethodLeavesTheOthersEntriesAndCounters) {
  ServeTogether({.max_entries = 3});
  SessionHandle session = Open("a");
  Get(session, "1");
  Get(session, "1", kOfOther);
  Get(session, "2");
  const int64_t bytes = CacheInfoOf(session, kCompute).bytes();
  const auto receipt = session.ClearCache(kCompute);
  EXPECT_EQ(receipt->entries(), 2);
  EXPECT_EQ(receipt->bytes(), bytes);
  EXPECT_EQ(Info(session), "currsize 0");
  EXPECT_EQ(Info(session, kOther), "misses 1, computations 1, currsize 1");
  for (const char* key : {"3", "4"}) Get(session, key);  // there is room for two
  EXPECT_EQ(Get(session, "1", kOfOther), "hit a:1");
  EXPECT_EQ(session.ClearCache()->entries(), 3);
}

TEST_F(NamedCacheTest, ClosingReleasesAllOfIt) {
  ServeTogether({});
  SessionHandle session = Open("a");
  Get(session, "1");
  Get(session, "1", kOfOther);
  EXPECT_EQ(session.Close()->entries(), 2);
}

TEST_F(NamedCacheTest, MaxEntriesTotalIsOverItsMethodsAndAllSessions) {
  ServeTogether({.max_entries = std::nullopt, .max_entries_total = 3});
  const SessionHandle a = Open("a");
  const SessionHandle b = Open("b");
  Get(a, "1");
  Get(b, "1", kOfOther);
  Get(a, "2", kOfOther);
  EXPECT_EQ(Get(a, "1"), "hit a:1");
  Get(b, "2");  // b's 1, of other, is the least recent of all
  EXPECT_EQ(Get(b, "1", kOtherIfCached), kNotCached);
  EXPECT_EQ(Get(a, "1"), "hit a:1");
  EXPECT_EQ(Get(a, "2", kOfOther), "hit a:2");
  const auto compute = AdminInfo("", kCompute).total(), other = AdminInfo("", kOther).total();
  EXPECT_EQ(compute.maxsize(), 3);
  EXPECT_EQ(other.maxsize(), 3);
  EXPECT_EQ(compute.currsize() + other.currsize(), 3);
  EXPECT_EQ(other.evictions(), 1);
}

TEST_F(NamedCacheTest, TtlIsEachMethodsOwn) {
  ServeOptions options;
  options.probe.compute = {.ttl = milliseconds(50), .cache = "both"};
  options.probe.other = {.cache = "both"};
  Serve(options);
  const SessionHandle session = Open("a");
  Get(session, "x", kOfOther);
  EXPECT_EQ(Get(session, "x"), "miss a:x");
  EXPECT_TRUE(Soon([&] { return Get(session, "x"); }, "miss a:x"));
  EXPECT_EQ(Get(session, "x", kOfOther), "hit a:x");
  EXPECT_EQ(CacheInfoOf(session, kCompute).expirations(), 1);
  EXPECT_EQ(CacheInfoOf(session, kOther).expirations(), 0);
}

TEST_F(NamedCacheTest, FunctionsWithoutAnInstanceShareOneToo) {
  ServeOptions options;
  options.probe.shared = options.probe.static_ = {.max_entries = 2, .cache = "both"};
  Serve(options);
  const auto call = [&](const char* method, const char* key) {
    return Ask(std::nullopt, Request(key), {.method = method}).Words();
  };
  call(kShared, "1");
  call(kStatic, "1");
  EXPECT_EQ(call(kShared, "2"), "miss 2");  // Shared's 1 goes
  EXPECT_EQ(call(kStatic, "1"), "hit 1");
  EXPECT_EQ(call(kShared, "1"), "miss 1");
}

TEST_F(NamedCacheTest, ConfigurationNamesItOverTheCode) {
  ServeOptions options;
  for (const char* method : {kCompute, kOther}) {
    MethodConfig config;
    config.name = method;
    config.cache = "configured";
    config.max_entries = 1;
    options.config.methods.push_back(config);
  }
  Serve(options);
  const SessionHandle session = Open("a");
  Get(session, "x");
  Get(session, "x", kOfOther);
  EXPECT_EQ(Get(session, "x"), "miss a:x");
  EXPECT_EQ(CacheInfoOf(session, kOther).policy().cache(), "configured");
}

}  // namespace
}  // namespace memod
