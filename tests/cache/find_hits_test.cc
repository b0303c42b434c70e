// What looking up many at once does to a MemoCache: what as many single calls that are hits would.
#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "memod/cache/memo_cache.h"
#include "memod/tests/cache/fixture.h"

namespace memod {
namespace {

using Keys = std::vector<std::string>;

class FindHitsTest : public CacheTest {
 protected:
  struct Asked {
    const MemoizedMethod& method;
    std::string request;
  };

  // One batch: for each in its place "hit =k", or "-" where nothing was told. Told `most` it says
  // that this is enough.
  Keys Find(const SessionPtr& session, const std::vector<Asked>& batch, size_t most = SIZE_MAX) {
    std::vector<MemoCache::Sought> sought;
    for (const Asked& a : batch) sought.push_back({&a.method, CacheKey(a.method.id, a.request)});
    Keys told(batch.size(), "-");
    size_t times = 0, after = 0;
    session->incarnation()->cache->FindHits(sought, now_, [&](size_t i, const auto& found) {
      EXPECT_GE(i, after) << "not in their order";
      after = i + 1;
      EXPECT_EQ(found.answer.key(), sought[i].key);
      age_ = found.age;
      told[i] = "hit " + (found.answer.code() == absl::StatusCode::kOk
                              ? std::string(found.Share()->bytes())
                              : absl::StatusCodeToString(found.answer.code()));
      return ++times < most;
    });
    return told;
  }
  std::string Find(const SessionPtr& session, const MemoizedMethod& m, const Keys& requests,
                   size_t most = SIZE_MAX) {
    std::vector<Asked> batch;
    for (const std::string& request : requests) batch.push_back({m, request});
    return absl::StrJoin(Find(session, batch, most), ", ");
  }
  // Whether a lookup would find it; touches nothing.
  bool Has(const SessionPtr& session, const Asked& a) const {
    const CacheKey key(a.method.id, a.request);
    return session->incarnation()->cache->Age(a.method, key, now_).has_value();
  }
  void Fill(const SessionPtr& session, const MemoizedMethod& m, const Keys& requests) {
    for (const std::string& request : requests) Get(session, m, request);
  }

  const SessionPtr s_ = Open();
  Duration age_{};  // of what was told last
};

TEST_F(FindHitsTest, TellsEachHitInItsPlaceAndNothingOfWhatIsNotThere) {
  const auto& m = Method();
  Fill(s_, m, {"a", "b", "c"});
  EXPECT_EQ(Find(s_, m, {"c", "x", "a", "y"}), "hit =c, -, hit =a, -");
  EXPECT_EQ(Find(s_, m, {}), "");
}

TEST_F(FindHitsTest, OfACacheNeverAskedOrOfAnotherSessionThereIsNothing) {
  const auto &m = Method(), &other = Method();
  EXPECT_EQ(Find(s_, m, {"a"}), "-");
  Fill(s_, m, {"a"});
  EXPECT_EQ(Find(s_, other, {"a"}), "-");
  EXPECT_EQ(Find(Open(), m, {"a"}), "-");
}

TEST_F(FindHitsTest, HitsAreCountedAndWhatIsNotFoundIsNot) {
  const auto& m = Method();
  Caller& slow = Call(s_, m, "a");
  Advance(seconds(3));
  Finish(slow, "v");
  const Counters before = Info(s_, m).counters;
  EXPECT_EQ(Find(s_, m, {"a", "x", "a"}), "hit v, -, hit v");
  const Counters counted = Info(s_, m).counters - before;
  EXPECT_EQ(counted, (Counters{.hits = 2, .compute_seconds_saved = 6}));
}

TEST_F(FindHitsTest, AKeyManyTimesInOneBatchIsAHitEachTime) {
  const auto& m = Method();
  Fill(s_, m, {"a"});
  // More than the cache takes references to give away at a time.
  const Keys told = Find(s_, std::vector<Asked>(1000, {m, "a"}));
  EXPECT_EQ(std::count(told.begin(), told.end(), "hit =a"), 1000);
  EXPECT_EQ(Info(s_, m).counters.hits, 1000);
}

TEST_F(FindHitsTest, WhatIsFoundIsTheMostRecentInTheOrderOfTheBatch) {
  const auto& m = Method({.max_entries = 3});
  Fill(s_, m, {"a", "b", "c"});
  EXPECT_EQ(Find(s_, m, {"b", "x", "a", "b"}), "hit =b, -, hit =a, hit =b");
  Keys went;
  for (const char* next : {"d", "e", "f"}) {
    Fill(s_, m, {next});
    for (const char* key : {"a", "b", "c"}) {
      const bool gone = !Has(s_, {m, key}) && std::count(went.begin(), went.end(), key) == 0;
      if (gone) went.push_back(key);
    }
  }
  EXPECT_EQ(went, (Keys{"c", "a", "b"}));
}

TEST_F(FindHitsTest, WhatIsEvictedIsNotFound) {
  const auto& m = Method({.max_entries = 2});
  Fill(s_, m, {"a", "b", "c"});
  EXPECT_EQ(Find(s_, m, {"a", "b", "c"}), "-, hit =b, hit =c");
  EXPECT_EQ(Counts(Info(s_, m)), "hits 2, misses 3, computations 3, evictions 1, currsize 2");
}

TEST_F(FindHitsTest, WhatIsExpiredIsLeftToTheCallThatMissesIt) {
  const auto& m = Method({.ttl = seconds(10)});
  Fill(s_, m, {"old"});
  Advance(seconds(9));
  EXPECT_EQ(Find(s_, m, {"old"}), "hit =old");
  EXPECT_EQ(age_, seconds(9));
  Fill(s_, m, {"new"});
  Advance(seconds(1));
  EXPECT_EQ(Find(s_, m, {"old", "new"}), "-, hit =new");
  EXPECT_EQ(age_, seconds(1));
  EXPECT_EQ(Counts(Info(s_, m)), "hits 2, misses 2, computations 2, currsize 2");
  EXPECT_EQ(Get(s_, m, "old"), "miss =old");
  EXPECT_EQ(Counts(Info(s_, m)), "hits 2, misses 3, computations 3, expirations 1, currsize 2");
}

TEST_F(FindHitsTest, ARememberedErrorIsAHit) {
  const auto& m = Method({.negative = {{absl::StatusCode::kNotFound, seconds(5)}}});
  Fail(Call(s_, m, "k"), absl::StatusCode::kNotFound);
  EXPECT_EQ(Find(s_, m, {"k"}), "hit NOT_FOUND");
  Advance(seconds(5));
  EXPECT_EQ(Find(s_, m, {"k"}), "-");
}

TEST_F(FindHitsTest, WhatIsBeingComputedIsNotFoundAndNotJoined) {
  const auto& m = Method();
  Caller& computes = Call(s_, m, "k");
  EXPECT_EQ(Find(s_, m, {"k"}), "-");
  EXPECT_EQ(Counts(Info(s_, m)), "misses 1, computations 1, currsize 0");
  Finish(computes, "v");
  EXPECT_EQ(Find(s_, m, {"k"}), "hit v");
}

TEST_F(FindHitsTest, AfterEnoughNothingMoreIsTouchedOrCounted) {
  const auto& m = Method({.max_entries = 2});
  Fill(s_, m, {"a", "b"});
  EXPECT_EQ(Find(s_, m, {"x", "b", "a"}, 1), "-, hit =b, -");
  EXPECT_EQ(Info(s_, m).counters.hits, 1);
  Fill(s_, m, {"c"});  // in place of the least recent
  EXPECT_EQ(Find(s_, m, {"a", "b", "c"}), "-, hit =b, hit =c");
}

TEST_F(FindHitsTest, OnceTheSessionIsClosedNothingIsFound) {
  const auto& m = Method();
  Fill(s_, m, {"a"});
  const std::shared_ptr<MemoCache> cache = s_->incarnation()->cache;
  Close(s_);
  const std::vector<MemoCache::Sought> sought = {{&m, CacheKey(m.id, "a")}};
  cache->FindHits(sought, now_, [](size_t, const auto&) {
    ADD_FAILURE() << "found";
    return true;
  });
}

// Two sessions are asked for the same, one in batches and one call by call; what is not there is then
// computed in both.
TEST_F(FindHitsTest, BatchesOfAnySizeLeaveWhatSingleCallsLeave) {
  const std::vector<const MemoizedMethod*> methods = {
      &Method({.max_entries = 20}), &Method({.max_entries = std::nullopt, .ttl = seconds(20)}),
      &Method({.max_entries = 10, .cache = "one"}), &Method({.max_entries = 10, .cache = "one"})};
  const SessionPtr single = Open();
  std::mt19937 random(1);
  const auto draw = [&](size_t n) { return random() % n; };
  for (int round = 0; round < 300; ++round) {
    std::vector<Asked> batch;
    for (size_t n = draw(3 * MethodCaches::kAhead); n > 0; --n) {
      batch.push_back({*methods[draw(methods.size())], std::to_string(draw(25))});
    }
    Keys expected;
    for (const Asked& a : batch) {
      expected.push_back(Has(single, a) ? Get(single, a.method, a.request) : "-");
    }
    ASSERT_EQ(Find(s_, batch), expected) << "round " << round;
    for (size_t i = 0; i < batch.size(); ++i) {
      if (expected[i] != "-") continue;
      const auto& [method, request] = batch[i];
      ASSERT_EQ(Get(s_, method, request), Get(single, method, request)) << "round " << round;
    }
    for (const auto* method : methods) {
      ASSERT_EQ(Info(s_, *method), Info(single, *method)) << "round " << round;
    }
    Advance(seconds(1));
  }
  const Counters counted = Info(s_, *methods[1]).counters;
  EXPECT_GT(counted.hits, 1000);
  EXPECT_GT(counted.expirations, 100);
}

}  // namespace
}  // namespace memod
