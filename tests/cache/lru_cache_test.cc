#include "memod/cache/lru_cache.h"

#include <list>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace memod {
namespace {

class LruCacheTest : public ::testing::Test {
 protected:
  void Bound(std::optional<int64_t> max_entries) { cache_.emplace(max_entries); }

  // Returns the keys that went, those replaced among them, in the order in which they went.
  std::string Insert(std::string_view request, std::string_view answer, uint32_t method = 0) {
    LruCache::Removed removed;
    evicted_ = cache_->Insert(Answer::Copy(CacheKey(method, request), answer), now_ += Duration(1),
                              0.5, removed);
    std::string went;
    for (const auto& gone : removed) went += gone->key().bytes();
    return went;
  }
  std::string Lookup(std::string_view request, uint32_t method = 0) {
    const Answer* answer = cache_->Lookup(CacheKey(method, request), now_ += Duration(1));
    return answer == nullptr ? "none" : std::string(answer->bytes());
  }
  // Takes everything out, the oldest first; returns the keys.
  std::string TakeAll() {
    std::string keys;
    while (cache_->oldest() != nullptr) {
      keys += cache_->Remove(cache_->oldest())->key().bytes();
    }
    return keys;
  }
  int64_t Charge(std::string_view request, std::string_view answer) {
    return Answer::Copy(CacheKey(0, request), answer)->charge();
  }

  Time now_{};
  std::optional<LruCache> cache_{std::nullopt};
  int64_t evicted_ = 0;

 private:
  void SetUp() override { Bound(std::nullopt); }
};

TEST_F(LruCacheTest, NewCacheIsEmpty) {
  EXPECT_EQ(cache_->held(), Receipt{});
  EXPECT_EQ(cache_->oldest(), nullptr);
  EXPECT_EQ(cache_->Clear(), nullptr);
  EXPECT_EQ(Lookup("a"), "none");
}

TEST_F(LruCacheTest, FindsWhatWasInserted) {
  Insert("a", "1");
  Insert("b", "2");
  EXPECT_EQ(Lookup("a"), "1");
  EXPECT_EQ(Lookup("b"), "2");
  EXPECT_EQ(Lookup("c"), "none");
}

TEST_F(LruCacheTest, EvictsTheOldestFirst) {
  Bound(2);
  EXPECT_EQ(Insert("a", "1"), "");
  EXPECT_EQ(Insert("b", "2"), "");
  EXPECT_EQ(Insert("c", "3"), "a");
  EXPECT_EQ(evicted_, 1);
  EXPECT_EQ(Insert("d", "4"), "b");
  EXPECT_EQ(TakeAll(), "cd");
}

TEST_F(LruCacheTest, LookupMakesItsEntryTheMostRecent) {
  Bound(3);
  for (const char* key : {"a", "b", "c"}) Insert(key, key);
  Lookup("a");  // the oldest
  Lookup("c");  // one in the middle
  Lookup("c");  // the newest
  EXPECT_EQ(Insert("d", "4"), "b");
  EXPECT_EQ(TakeAll(), "acd");
}

TEST_F(LruCacheTest, FailedLookupAndLookingAtTheOldestTouchNothing) {
  Insert("a", "1");
  Insert("b", "2");
  Lookup("c");
  EXPECT_EQ(cache_->oldest()->key().bytes(), "a");
  EXPECT_EQ(TakeAll(), "ab");
}

TEST_F(LruCacheTest, InsertingWhatIsThereReplacesValueAndChargeAndDoesNotGrow) {
  Bound(2);
  Insert("a", "1");
  Insert("b", "2");
  EXPECT_EQ(Insert("a", "a longer one"), "a");
  EXPECT_EQ(evicted_, 0);
  EXPECT_EQ(cache_->held().entries, 2);
  EXPECT_EQ(cache_->held().bytes, Charge("a", "a longer one") + Charge("b", "2"));
  EXPECT_EQ(Insert("a", ""), "a");
  EXPECT_EQ(cache_->held().bytes, Charge("a", "") + Charge("b", "2"));
  EXPECT_EQ(Lookup("a"), "");
  EXPECT_EQ(TakeAll(), "ba");
}

TEST_F(LruCacheTest, BoundOfOneHoldsTheNewest) {
  Bound(1);
  EXPECT_EQ(Insert("a", "1"), "");
  EXPECT_EQ(Insert("b", "2"), "a");
  EXPECT_EQ(Insert("b", "3"), "b");
  EXPECT_EQ(Lookup("b"), "3");
}

TEST_F(LruCacheTest, BoundOfZeroHoldsNothing) {
  Bound(0);
  EXPECT_EQ(Insert("a", "1"), "a");
  EXPECT_EQ(cache_->held(), Receipt{});
}

TEST_F(LruCacheTest, UnboundedEvictsNothing) {
  for (int i = 0; i < 2000; ++i) EXPECT_EQ(Insert(std::to_string(i), "v"), "");
  EXPECT_EQ(cache_->held().entries, 2000);
  for (int i = 0; i < 2000; ++i) EXPECT_EQ(Lookup(std::to_string(i)), "v");
}

TEST_F(LruCacheTest, KeysThatDifferAnywhereAreDifferentEntries) {
  std::vector<std::pair<uint32_t, std::string>> keys = {{0, ""}, {1, ""}};
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    keys.insert(keys.end(), {{0, {c}}, {1, {c}}, {0, {c, '\0'}}, {0, {'\0', 'x', c}}});
  }
  for (size_t i = 0; i < keys.size(); ++i) Insert(keys[i].second, std::to_string(i), keys[i].first);
  for (size_t i = 0; i < keys.size(); ++i) {
    EXPECT_EQ(Lookup(keys[i].second, keys[i].first), std::to_string(i));
  }
}

TEST_F(LruCacheTest, HeldIsTheSumOfItsEntries) {
  Insert("a", "1");
  Insert("b", "22");
  EXPECT_EQ(cache_->held(), (Receipt{2, Charge("a", "1") + Charge("b", "22"), 1.0}));
  const Answer::Ref removed = cache_->Remove(cache_->oldest());
  EXPECT_EQ(removed->key().bytes(), "a");
  EXPECT_EQ(cache_->held(), (Receipt{1, Charge("b", "22"), 0.5}));
  EXPECT_EQ(TakeAll(), "b");
  EXPECT_EQ(cache_->held(), Receipt{});
}

TEST_F(LruCacheTest, RemoveTakesThatEntryOnly) {
  for (const char* key : {"a", "b", "c"}) Insert(key, key);
  cache_->Remove(cache_->Lookup(CacheKey(0, "b"), now_));
  EXPECT_EQ(Lookup("b"), "none");
  EXPECT_EQ(TakeAll(), "ac");
}

TEST_F(LruCacheTest, RemovedEntryIsStillWhole) {
  Bound(1);
  LruCache::Removed removed;
  cache_->Insert(Answer::Copy(CacheKey(7, "key"), "value"), now_, 2, removed);
  cache_->Insert(Answer::Copy(CacheKey(7, "other"), "value"), now_, 2, removed);
  cache_.reset();
  ASSERT_EQ(removed.size(), 1u);
  EXPECT_EQ(removed[0]->key(), CacheKey(7, "key"));
  EXPECT_EQ(removed[0]->bytes(), "value");
}

TEST_F(LruCacheTest, ClearTakesOutEverythingAndTheCacheGoesOn) {
  Bound(2);
  Insert("a", "1");
  Insert("b", "2");
  const Receipt held = cache_->held();
  const std::unique_ptr<LruCache::Contents> contents = cache_->Clear();
  EXPECT_EQ(contents->receipt(), held);
  EXPECT_EQ(cache_->held(), Receipt{});
  EXPECT_EQ(Lookup("a"), "none");
  EXPECT_EQ(cache_->Clear(), nullptr);
  EXPECT_EQ(Insert("c", "3"), "");
  EXPECT_EQ(Insert("a", "4"), "");
  EXPECT_EQ(Insert("b", "5"), "c");
  EXPECT_EQ(TakeAll(), "ab");
}

TEST_F(LruCacheTest, LastUsedNeverGoesBack) {
  const Time start = now_;
  Insert("a", "1");
  cache_->Lookup(CacheKey(0, "a"), start + Duration(100));
  cache_->Lookup(CacheKey(0, "a"), start + Duration(50));  // looked at the clock before the other
  EXPECT_EQ(cache_->oldest_use(), start + Duration(100));
  cache_->Clear();
  Insert("b", "2");
  EXPECT_EQ(cache_->oldest_use(), start + Duration(100));
}

// A list, the oldest first: slow, and obviously right.
class ListCache {
 public:
  explicit ListCache(size_t bound) : bound_(bound) {}
  std::string Lookup(const std::string& key) {
    for (auto it = list_.begin(); it != list_.end(); ++it) {
      if (it->first != key) continue;
      list_.splice(list_.end(), list_, it);
      return it->second;
    }
    return "none";
  }
  void Insert(const std::string& key, const std::string& answer) {
    list_.remove_if([&](const auto& entry) { return entry.first == key; });
    list_.emplace_back(key, answer);
    if (list_.size() > bound_) list_.pop_front();
  }
  std::string TakeAll() {
    std::string keys;
    for (const auto& [key, answer] : std::exchange(list_, {})) keys += key;
    return keys;
  }

 private:
  const size_t bound_;
  std::list<std::pair<std::string, std::string>> list_;
};

TEST_F(LruCacheTest, AgreesWithAList) {
  std::mt19937 random(1);
  for (const size_t bound : {1, 2, 3, 17, 100}) {
    Bound(static_cast<int64_t>(bound));
    ListCache list(bound);
    for (int i = 0; i < 5000; ++i) {
      const std::string key = std::to_string(random() % (bound + bound / 2 + 2)) + ";";
      if (random() % 2 == 0) {
        Insert(key, std::to_string(i));
        list.Insert(key, std::to_string(i));
      } else {
        ASSERT_EQ(Lookup(key), list.Lookup(key)) << "bound " << bound << ", operation " << i;
      }
      if (random() % 1000 == 0) {
        ASSERT_EQ(TakeAll(), list.TakeAll());
      }
    }
    EXPECT_EQ(TakeAll(), list.TakeAll());
  }
}

}  // namespace
}  // namespace memod
