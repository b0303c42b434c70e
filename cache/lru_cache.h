// A bounded store in exact LRU order. It knows nothing of sessions, time to live or computing.
//
// Not thread-safe: its owner's mutex guards it. Removed entries are handed back instead of being
// freed, so that the owner can free them outside of its lock.
//
//   LruCache cache(2);
//   cache.Insert(key, {answer, now, took}, now, removed);
//   if (const LruCache::Entry* entry = cache.Lookup(key, now)) use(entry->value.answer);
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
  struct Value {
    Answer::Ref answer;
    Time computed_at;
    float compute_seconds = 0;
  };

  class Entry;
  struct EntryDeleter {
    void operator()(Entry* entry) const;
  };
  using EntryPtr = std::unique_ptr<Entry, EntryDeleter>;

  // Everything that a cache held, detached from it. Destroying it is what takes time.
  class Contents;

  // nullopt: unbounded.
  explicit LruCache(std::optional<int64_t> max_entries) : max_entries_(max_entries) {}
  ~LruCache();
  LruCache(const LruCache&) = delete;
  LruCache& operator=(const LruCache&) = delete;

  // The entry under `key`, made the most recent; null if there is none.
  const Entry* Lookup(const CacheKey& key, Time now);

  // Stores `value` under `key` as the most recent entry, in place of the one that is there. Then
  // takes the oldest out until max_entries holds. What went is added to `removed`; returns how many
  // of those were evicted, not replaced.
  int64_t Insert(const CacheKey& key, Value value, Time now, std::vector<EntryPtr>& removed);

  // The same without touching it.
  const Entry* Peek(const CacheKey& key) const;

  // Takes out `entry`, which is of this cache.
  EntryPtr Remove(const Entry* entry);

  // The least recently used entry; null when empty. Touches nothing.
  const Entry* oldest() const { return oldest_; }

  // Takes out everything at once, in O(1). Null if there was nothing.
  std::unique_ptr<Contents> Clear();
  // Takes out the entries of one method, walking all.
  void RemoveMethod(uint32_t method, std::vector<EntryPtr>& removed);

  // What the entry for `key` with `answer` would be charged: key + value + what an entry costs.
  static int64_t Charge(const CacheKey& key, const Answer& answer);

  std::optional<int64_t> max_entries() const { return max_entries_; }
  // Entries, their charge, and the time that computing them had taken.
  const Receipt& held() const { return held_; }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(const CacheKey& key) const { return key.hash(); }
    size_t operator()(const Entry* entry) const;
  };
  struct Eq {
    using is_transparent = void;
    bool operator()(const Entry* a, const Entry* b) const { return a == b; }
    bool operator()(const Entry* a, const CacheKey& b) const;
    bool operator()(const CacheKey& a, const Entry* b) const { return (*this)(b, a); }
  };
  using Index = absl::flat_hash_set<Entry*, Hash, Eq>;

  void LinkNewest(Entry* entry, Time now);
  void Unlink(Entry* entry);

  const std::optional<int64_t> max_entries_;

  Index index_;
  // The list: each entry's last_used is never older than that of the entry before it.
  Entry* oldest_ = nullptr;
  Entry* newest_ = nullptr;
  Receipt held_;
  // Of any entry ever, so that an older `now` makes none older.
  Time last_used_ = Time::min();
};

// A key and its answer, in the list of one cache.
class LruCache::Entry {
 public:
  CacheKey key() const;
  Time last_used() const { return last_used_; }
  int64_t charge() const;

  const Value value;

 private:
  friend class LruCache;
  friend class Contents;
  friend struct EntryDeleter;
  Entry(Value v, const CacheKey& key);

  Entry* older_ = nullptr;
  Entry* newer_ = nullptr;
  Time last_used_;
  const uint64_t hash_;
  const uint32_t method_;
  const uint32_t key_size_;
  // The key's bytes follow.
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
  Entry* oldest_ = nullptr;
  Receipt receipt_;
};

}  // namespace memod
