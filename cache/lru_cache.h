// A bounded store in exact LRU order. It knows nothing of sessions, time to live or computing.
//
// Not thread-safe: its owner's mutex guards it. Removed entries are handed back instead of being
// freed, so that the owner can free them outside of its lock.
//
//   LruCache cache(2);
//   cache.Insert(Answer::Copy(key, "42"), now, took, removed);
//   if (const Answer* answer = cache.Lookup(key, now)) use(answer->bytes());
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "memod/cache/answer.h"
#include "memod/cache/cache_info.h"
#include "memod/cache/cache_key.h"
#include "memod/cache/time.h"

namespace memod {

class LruCache {
 public:
  using Removed = std::vector<Answer::Ref>;

  // Everything that a cache held, detached from it. Destroying it is what takes time.
  class Contents;

  // nullopt: unbounded.
  explicit LruCache(std::optional<int64_t> max_entries) : max_entries_(max_entries) {}
  ~LruCache();
  LruCache(const LruCache&) = delete;
  LruCache& operator=(const LruCache&) = delete;

  // The answer to `key`, made the most recent; null if there is none.
  const Answer* Lookup(const CacheKey& key, Time now);

  // Stores `answer` as the most recent, in place of the one to the same key. Then takes the oldest
  // out until max_entries holds. What went is added to `removed`; returns how many of those were
  // evicted, not replaced. An answer is stored once: it is in no other cache, and never was.
  int64_t Insert(const Answer::Ref& answer, Time now, float compute_seconds, Removed& removed);

  // The same as Lookup without touching it.
  const Answer* Peek(const CacheKey& key) const;

  // Makes `answer`, which is of this cache, the most recent.
  void Touch(const Answer* answer, Time now);

  // For who is about to look up many keys, so that what that reads comes from memory for all of them
  // at once: step by step, each for many keys before the next step for any. They touch nothing.
  void PrefetchIndex(const CacheKey& key) const { index_.prefetch(key); }
  // What is most likely the answer to `key`; null if there is none.
  const Answer* PrefetchAnswer(const CacheKey& key) const;
  // What Touch writes to beside `answer`, which is of this cache, or null.
  static void PrefetchNeighbours(const Answer* answer);

  // One more reference to `answer`, which is of a cache whose owner is under its mutex.
  static Answer::Ref Share(const Answer* answer);

  // Takes out `answer`, which is of this cache.
  Answer::Ref Remove(const Answer* answer);

  // The least recently used; null when empty. Touches nothing.
  const Answer* oldest() const { return oldest_; }
  // When it was last used. There is one.
  Time oldest_use() const { return oldest_->last_used_; }

  // Takes out everything at once, in O(1). Null if there was nothing.
  std::unique_ptr<Contents> Clear();
  // Takes out the answers of one method, walking all.
  void RemoveMethod(uint32_t method, Removed& removed);

  std::optional<int64_t> max_entries() const { return max_entries_; }
  // Entries, their charge, and the time that computing them had taken.
  const Receipt& held() const { return held_; }

 private:
  // Finds without reading any answer.
  struct Likely {
    const CacheKey& key;
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(const CacheKey& key) const { return CacheKey::Spread(key.hash()); }
    size_t operator()(const Likely& likely) const { return (*this)(likely.key); }
    size_t operator()(const Answer* answer) const { return CacheKey::Spread(answer->hash_); }
  };
  struct Eq {
    using is_transparent = void;
    bool operator()(const Answer* a, const Answer* b) const { return a == b; }
    bool operator()(const Answer* a, const CacheKey& b) const { return a->key() == b; }
    bool operator()(const CacheKey& a, const Answer* b) const { return b->key() == a; }
    // The index itself has compared 7 bits of the hash.
    bool operator()(const Answer*, const Likely&) const { return true; }
  };
  using Index = absl::flat_hash_set<Answer*, Hash, Eq>;

  static Answer::Ref Release(Answer* answer);
  void LinkNewest(Answer* answer, Time now);
  void Unlink(Answer* answer);

  const std::optional<int64_t> max_entries_;

  Index index_;
  // The list: each answer's last_used_ is never older than that of the one before it.
  Answer* oldest_ = nullptr;
  Answer* newest_ = nullptr;
  Receipt held_;
  // Of any answer ever, so that an older `now` makes none older.
  Time last_used_ = Time::min();
};

class LruCache::Contents {
 public:
  ~Contents();
  Contents(const Contents&) = delete;
  Contents& operator=(const Contents&) = delete;
  const Receipt& receipt() const { return receipt_; }

 private:
  friend class LruCache;
  Contents() = default;
  Index index_;
  Answer* oldest_ = nullptr;
  Receipt receipt_;
};

}  // namespace memod
