// What the methods of one session remember, within which bounds, and what was counted meanwhile.
// It knows nothing of computations.
//
// An LruCache per method, or per name that methods share, made on the first use. Guarded by its
// owner's mutex, which every call but EnterBudgets and LeaveBudgets is made under; the budgets come
// in by themselves and lock it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "memod/cache/budget.h"
#include "memod/cache/cache_context.h"
#include "memod/cache/cache_info.h"
#include "memod/cache/cache_key.h"
#include "memod/cache/lru_cache.h"
#include "memod/cache/memoized_method.h"
#include "memod/cache/mutex.h"

namespace memod {

class MethodCaches final : private Budget::Member {
 public:
  using Removed = LruCache::Removed;                         // to be freed outside of the lock
  using Garbage = std::vector<std::shared_ptr<const void>>;  // for the reaper

  // `of_session`: whether it has a session's share of the bytes: what is guaranteed to one, and no
  // more than one may have.
  MethodCaches(CacheContext& context, Mutex& mutex, bool of_session)
      : context_(context), mutex_(mutex), of_session_(of_session) {}

  // The answer to `key`, made the most recent, and a hit. Null, and a miss: there is none, or one
  // that is too old, which goes unless it may be given stale.
  const Answer* Lookup(const MemoizedMethod& method, const CacheKey& key, Time now,
                       Removed& removed);
  // The same, but neither touches nor counts.
  const Answer* Peek(const MemoizedMethod& method, const CacheKey& key, Time now) const;
  // One of many lookups.
  struct Sought {
    const MemoizedMethod* method;
    CacheKey key;
  };
  // What looking up a few of them is about to read: see LruCache. At most kAhead.
  static constexpr size_t kAhead = 32;
  void Prefetch(std::span<const Sought> sought) const;
  // As Lookup where it is a hit. Null: it is none, and nothing was touched or counted.
  const Answer* LookupHit(const MemoizedMethod& method, const CacheKey& key, Time now);

  // Stores unless it is too large, which is counted, and takes out what is beyond the bound. True:
  // EnterBudgets is due.
  [[nodiscard]] bool Insert(const MemoizedMethod& method, const Answer::Ref& answer, Time now,
                            float compute_seconds, Removed& removed);
  // Not under the owner's mutex. After every Insert, EnterBudgets or not, the bounds that span
  // sessions are to be enforced.
  void EnterBudgets(const MemoizedMethod& method);
  void Enforce(const MemoizedMethod& method, Time now);
  // Not under the owner's mutex, once nothing is stored here any more.
  void LeaveBudgets();

  // Drops the entry under `key`, if there is one.
  Receipt Forget(const MemoizedMethod& method, const CacheKey& key, Removed& removed);
  // Drops the entries of `method` (null: all), and counts from zero. In one step, but for a method
  // that shares its cache: then every entry there is looked at.
  Receipt Clear(const MemoizedMethod* method, Garbage& garbage);

  // Of a method that was never asked for.
  static CacheInfo InfoOfUnused(const MemoizedMethod& method);
  // Since the method was last cleared here.
  CacheInfo Info(const MemoizedMethod& method) const;

  Counters& counters(const MemoizedMethod& method) { return For(method).counters; }
  // Of every method used at all: `f(const MemoizedMethod&, const CacheInfo& history)`.
  template <typename F>
  void ForEachMethod(F&& f) const {
    for (const OfMethod& of : methods_) f(of.method, InfoSince(of, Counters{}));
  }

  // The answer to `key` that may be given if computing fails: too old or not. Null: none.
  const Answer* FindStale(const MemoizedMethod& method, const CacheKey& key, Time now) const;

  // Whether an answer that old is a miss.
  static bool Expired(const MemoizedMethod& method, const Answer& answer, Time now);

 private:
  // A store of its own bounds; entries of one method or of several.
  struct Cache final : Budget::Member {
    Cache(MethodCaches& owner, CacheBounds& bounds)
        : owner(owner), bounds(bounds), lru(bounds.max_entries) {}
    Left EvictOldest(const Budget& budget, const Eviction& eviction, Removed& removed) override;

    MethodCaches& owner;
    CacheBounds& bounds;
    LruCache lru;
    int methods = 0;        // that use it
    bool in_total = false;  // a member of bounds.total_entries, or about to be
  };
  struct OfMethod {
    const MemoizedMethod& method;
    Cache& cache;
    Counters counters;
    Counters baseline;  // the counters when it was last cleared
    Receipt held;       // its part of the cache
  };

  // Of the bytes: the oldest entry of all caches here.
  Left EvictOldest(const Budget& budget, const Eviction& eviction, Removed& removed) override;
  // Most that all entries here may be charged; nullopt: unbounded.
  std::optional<int64_t> max_bytes() const;
  // The cache with the oldest entry; null: there is no entry.
  Cache* Oldest() const;
  void EvictFrom(Cache& cache, Time now, Removed& removed);

  OfMethod& For(const MemoizedMethod& method);
  const OfMethod* Find(const MemoizedMethod& method) const;
  OfMethod& OwnerOf(const Answer& answer);
  static CacheInfo InfoSince(const OfMethod& of, const Counters& since);

  // Takes what is charged for `went` off everything that it was charged to.
  void GiveBack(OfMethod& of, const Receipt& went);
  void GiveBack(const Answer& answer);
  static void CountHit(OfMethod& of, const Answer& answer);
  static void CountDropped(OfMethod& of, const Answer& answer, Time now);

  CacheContext& context_;
  Mutex& mutex_;
  const bool of_session_;
  std::vector<std::unique_ptr<Cache>> caches_;
  std::vector<OfMethod> methods_;
  int64_t bytes_ = 0;      // charge of all entries
  bool in_bytes_ = false;  // a member of the context's bytes, or about to be
};

}  // namespace memod
