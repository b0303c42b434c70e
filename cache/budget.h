// One bound over many caches, exact LRU across them: the bytes of the whole server, or the entries
// of one method over all sessions.
//
// Thread-safe. Lock order: Budget, then cache. A cache charges the budget as it stores, under its
// own mutex (an atomic, no lock); once unlocked it calls Enforce, which takes the least recently
// used entries of all members until the bound holds. So the bound holds whenever no store is in
// progress, and is exceeded meanwhile by at most one entry per storing thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "memod/cache/lru_cache.h"
#include "memod/cache/mutex.h"
#include "memod/cache/time.h"

namespace memod {

class Budget {
 public:
  // A cache that the budget may take the oldest entry from.
  class Member {
   public:
    // Under the cache's mutex: if the oldest entry was last used at `not_after` or before, takes it
    // out into `removed` and gives its charge back. Returns when what is the oldest now was last
    // used; nullopt when the cache is empty, which thereby leaves the budget.
    virtual std::optional<Time> EvictOldest(const Budget& budget, Time not_after, Time now,
                                            std::vector<LruCache::EntryPtr>& removed) = 0;

   protected:
    ~Member() = default;
  };

  // nullopt: unbounded; then only `used` is of interest.
  explicit Budget(std::optional<int64_t> limit) : limit_(limit) {}
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  std::optional<int64_t> limit() const { return limit_; }
  int64_t used() const { return used_.load(std::memory_order_relaxed); }

  // Negative to give back.
  void Charge(int64_t amount) { used_.fetch_add(amount, std::memory_order_relaxed); }

  // `member` has its first entry since it was empty. It must Leave before it is destroyed.
  void Enter(Member* member) ABSL_LOCKS_EXCLUDED(mutex_);
  // No-op if it is not in.
  void Leave(Member* member) ABSL_LOCKS_EXCLUDED(mutex_);

  // Evicts until used <= limit. Not under any cache's mutex.
  void Enforce(Time now) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // Takes the least recently used entry of all members; false when no member has any.
  bool EvictOne(Time now, std::vector<LruCache::EntryPtr>& removed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Record(Member* member, Time oldest) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Forget(Member* member) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::optional<int64_t> limit_;
  std::atomic<int64_t> used_{0};

  Mutex mutex_;
  // By the last use of a member's oldest entry as it was when last looked at. An oldest entry only
  // gets younger, so the true minimum is found by correcting what is popped.
  absl::btree_set<std::pair<Time, Member*>> by_oldest_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<Member*, Time> recorded_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace memod
