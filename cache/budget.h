// One bound over many caches, exact LRU across them: the bytes of the whole server, or the entries
// of one method over all sessions.
//
// Thread-safe. Lock order: Budget, then cache. A cache charges the budget as it stores, under its
// own mutex (an atomic, no lock); once unlocked it calls Enforce, which takes the least recently
// used entries of all members until the bound holds. So the bound holds whenever no store is in
// progress, and is exceeded meanwhile by at most one entry per storing thread.
//
// A guaranteed charge keeps the members from one another: a member within it is spared, and the
// least recently used entry of those beyond it goes.
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
    struct Eviction {
      Time not_after;  // take the oldest entry only if it was last used then or before
      Time now;
      int64_t guaranteed;  // take nothing from a member that is charged this or less
    };
    // What is in the member after it.
    struct Left {
      std::optional<Time> oldest;  // when the oldest entry was last used; nullopt: empty
      int64_t charge = 0;
      bool spared = false;
    };
    // Under the cache's mutex: takes the oldest entry out into `removed` and gives its charge back,
    // if it may. A member that is empty, or spared, must Enter again with its next entry.
    virtual Left EvictOldest(const Budget& budget, const Eviction& eviction,
                             LruCache::Removed& removed) = 0;

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

  // `member` has its first entry since it was empty, or a new one since it was spared. It must
  // Leave before it is destroyed.
  void Enter(Member* member) ABSL_LOCKS_EXCLUDED(mutex_);
  // No-op if it is not in.
  void Leave(Member* member) ABSL_LOCKS_EXCLUDED(mutex_);

  // What each member may be charged and lose nothing to another; from the start 0. With at most n
  // members a guarantee of limit / n leaves a member to take from whenever the bound is exceeded.
  void Guarantee(int64_t charge) ABSL_LOCKS_EXCLUDED(mutex_);

  // Evicts until used <= limit. Not under any cache's mutex.
  void Enforce(Time now) ABSL_LOCKS_EXCLUDED(mutex_);
  // Evicts until no more than `charge` is used, or what is left is guaranteed; others may store and
  // evict meanwhile. Nothing without a limit. Not under any cache's mutex.
  void Shrink(int64_t charge, Time now) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // Where a member is: among those that may lose their oldest entry, or, `spared`, apart.
  struct Place {
    Time oldest;  // as it was when last looked at; of a member that is in, only gets younger
    int64_t charge;
    bool spared;
  };

  // Takes the least recently used entry of all members but the spared; false when there is none.
  bool EvictOne(Time now, LruCache::Removed& removed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Add(Member* member, const Member::Left& left) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Remove(Member* member) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::optional<int64_t> limit_;
  std::atomic<int64_t> used_{0};

  Mutex mutex_;
  int64_t guaranteed_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<Member*, Place> places_ ABSL_GUARDED_BY(mutex_);
  // By the last use of a member's oldest entry as it was when last looked at. An oldest entry only
  // gets younger, so the true minimum is found by correcting what is popped.
  absl::btree_set<std::pair<Time, Member*>> by_oldest_ ABSL_GUARDED_BY(mutex_);
  // The spared, by their charge: it can only fall before they Enter again.
  absl::btree_set<std::pair<int64_t, Member*>> spared_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace memod
