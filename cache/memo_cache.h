// The memory of one session, or of the server: answers that are there, and computations under way.
//
// One mutex guards a bounded LruCache per method, made on the method's first use, and the flights.
// So looking up, joining a flight and starting one are a single step, and equal calls compute once.
//
//   MemoCache::Result result = cache->GetOrCompute(call, [&](std::shared_ptr<Flight> flight) {
//     pool.Submit([flight] { ... flight->Complete(answer, Clock::now()); });
//   });
//
// Thread-safe. Nothing foreign runs under the mutex: no computation, no waiter, no freeing.
// Always owned by a std::shared_ptr. Detach it before letting go of it.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "memod/cache/budget.h"
#include "memod/cache/cache_info.h"
#include "memod/cache/cache_key.h"
#include "memod/cache/flight.h"
#include "memod/cache/lru_cache.h"
#include "memod/cache/mutex.h"
#include "memod/cache/policy.h"
#include "memod/cache/reaper.h"

namespace memod {

// A method as the caches see it. Lives as long as the process serves.
struct MemoizedMethod {
  MemoizedMethod(uint32_t id, std::string name, const Policy& policy);

  const uint32_t id;       // unique in the process, counted from 0
  const std::string name;  // "/memo.examples.v1.SlowAdder/Calculate"
  const Policy policy;     // bounds from 0, times up to ten years: what is beyond reads as that
  mutable Budget total_entries;  // policy.max_entries_total, over all sessions; thread-safe
};

// What all caches of a server share. Outlives them.
struct CacheContext {
  explicit CacheContext(std::optional<int64_t> max_bytes) : bytes(max_bytes) {}

  Budget bytes;  // cache.max_bytes
  std::atomic<int64_t> entries{0};
  std::atomic<int64_t> flights{0};    // alive, those that nobody waits for included
  std::atomic<int64_t> instances{0};  // of hosted classes, those only a running call holds included
  Reaper reaper;                      // last: what it frees counts itself out of the others
};

// What a caller asks for: `memo-control`.
enum class Control {
  kNone,
  kBypass,        // compute; read nothing, store nothing, count nothing
  kRefresh,       // compute and replace; until it is there others get the old answer
  kNoStore,       // a lookup, but a miss computes by itself and is not stored
  kOnlyIfCached,  // a lookup; a miss computes nothing and is NOT_CACHED
};

class MemoCache : public std::enable_shared_from_this<MemoCache> {
 public:
  // `max_depth`: of nested calls; the first call has depth 1.
  static std::shared_ptr<MemoCache> Make(CacheContext& context, int max_depth);
  ~MemoCache();

  struct Call {
    const MemoizedMethod& method;
    CacheKey key;
    Control control;
    Time now;
    // Told the answer unless the result is one. Not owned.
    Waiter* waiter;
    // What a computation would run on; kept alive by it.
    const std::shared_ptr<const void>& instance;
    // The flight that makes this nested call. A nested call never joins a flight, so chains cannot
    // wait for one another; its computation runs within its parent's.
    const Flight* parent = nullptr;
  };
  struct Detached {};
  // An outcome: answered at once, by a hit or by an error. A flight: the waiter will be told, or
  // was. Detached: this cache is no more the session's; look for the one that is.
  using Result = std::variant<Outcome, std::shared_ptr<Flight>, Detached>;

  // Answers from memory, joins a computation under way, or starts one by calling `compute` with no
  // lock held. A nested call on a detached cache computes by itself and is not counted.
  Result GetOrCompute(const Call& call, absl::FunctionRef<void(std::shared_ptr<Flight>)> compute)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // One snapshot; counters since the method was last cleared here. Touches nothing.
  CacheInfo Info(const MemoizedMethod& method) const ABSL_LOCKS_EXCLUDED(mutex_);
  // The same with the counters themselves, which no clear resets.
  CacheInfo History(const MemoizedMethod& method) const ABSL_LOCKS_EXCLUDED(mutex_);

  // What was known of a method at one instant.
  struct MethodCounters {
    const MemoizedMethod* method;
    Counters counters;
  };
  struct Released {
    Receipt receipt;
    std::vector<MethodCounters> methods;  // of those used at all
  };

  // Drops the entries of `method` (null: of every method) and starts their counting anew. What is
  // being computed meanwhile is delivered and not stored.
  Released Clear(const MemoizedMethod* method) ABSL_LOCKS_EXCLUDED(mutex_);

  // Drops everything, for good: nothing is stored or counted here any more. Computations go on and
  // answer those who wait. A second call finds nothing.
  Released Detach() ABSL_LOCKS_EXCLUDED(mutex_);

  // Detached caches only: ends every wait with an error, now and from now on. Each gets one made
  // for it, since the thread sanitizer cannot see into absl::Status's reference counts.
  using MakeError = absl::Status (*)();
  void Abort(MakeError error) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  friend class Flight;
  struct MethodCache;

  MemoCache(CacheContext& context, int max_depth);

  // The steps of GetOrCompute.
  std::optional<Outcome> Lookup(MethodCache& cache, const Call& call,
                                std::vector<LruCache::EntryPtr>& removed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::shared_ptr<Flight> Join(MethodCache& cache, const Call& call)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckChain(const Call& call) const;
  std::shared_ptr<Flight> Start(const Call& call, bool joinable, bool counted)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // The steps of a flight's end.
  bool Begin(Flight& flight, Time now) ABSL_LOCKS_EXCLUDED(mutex_);
  void Complete(Flight& flight, absl::StatusOr<Answer::Ref> answer, Time now)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Abandon(Flight& flight, const absl::Status& error) ABSL_LOCKS_EXCLUDED(mutex_);
  bool Leave(Flight& flight, Waiter* waiter) ABSL_LOCKS_EXCLUDED(mutex_);
  bool Store(MethodCache& cache, const Flight& flight, const Answer::Ref& answer, Time now,
             std::vector<LruCache::EntryPtr>& removed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CountError(const Flight& flight) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes the flight out of the map, so that its answer will not be stored.
  void MakeSolo(Flight& flight) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes it out of the list as well; its waiters are the caller's to tell.
  Flight::Waiters End(Flight& flight) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Tells the computation. Returns the instance that it no longer needs, if it has not begun.
  std::shared_ptr<const void> Cancel(Flight& flight) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Flight::State& StateOf(Flight& flight) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return flight.state_;
  }

  MethodCache& For(const MemoizedMethod& method) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  MethodCache* Find(const MemoizedMethod& method) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Empty(MethodCache& cache, Receipt& receipt,
             std::vector<std::shared_ptr<const void>>& garbage)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  CacheContext& context_;
  const int max_depth_;

  mutable Mutex mutex_;
  std::vector<std::unique_ptr<MethodCache>> methods_ ABSL_GUARDED_BY(mutex_);
  // Those that may be joined and will store, by a key over their own bytes.
  absl::flat_hash_map<CacheKey, Flight*, CacheKey::Hash> flights_ ABSL_GUARDED_BY(mutex_);
  // Every flight that somebody waits for, those in the map and those by themselves.
  std::list<std::shared_ptr<Flight>> running_ ABSL_GUARDED_BY(mutex_);
  bool detached_ ABSL_GUARDED_BY(mutex_) = false;
  MakeError aborted_ ABSL_GUARDED_BY(mutex_) = nullptr;  // null until Abort
};

}  // namespace memod
