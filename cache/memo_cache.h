// The memory of one session, or of the server: answers that are there, and computations under way.
//
// One mutex guards what the methods remember (MethodCaches) and the flights. So looking up, joining
// a flight and starting one are a single step, and equal calls compute once.
//
//   MemoCache::Result result = cache->GetOrCompute(call, [&](std::shared_ptr<Flight> flight) {
//     pool.Submit([flight] { ... flight->Complete(answer, Clock::now()); });
//   });
//
// Thread-safe. Nothing foreign runs under the mutex: no computation, no waiter, no freeing.
// Always owned by a std::shared_ptr. Detach it before letting go of it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "memod/cache/cache_context.h"
#include "memod/cache/cache_info.h"
#include "memod/cache/cache_key.h"
#include "memod/cache/flight.h"
#include "memod/cache/flights.h"
#include "memod/cache/memoized_method.h"
#include "memod/cache/method_caches.h"
#include "memod/cache/mutex.h"

namespace memod {

// What a caller asks for: `memo-control`.
enum class Control {
  kNone,
  kBypass,        // compute; read nothing, store nothing, count nothing
  kRefresh,       // compute and replace; until it is there others get the old answer
  kNoStore,       // a lookup, but a miss computes by itself and is not stored
  kOnlyIfCached,  // a lookup; a miss computes nothing and is NOT_CACHED
};

// A call on a MemoCache. What it points at is valid during GetOrCompute.
struct CacheCall {
  const MemoizedMethod& method;
  CacheKey key;
  Control control;
  Time now;
  // Told the answer unless the result is one. Valid until then.
  Waiter* waiter;
  // What a computation would run on; kept alive by it.
  const std::shared_ptr<const Self>& self;
  // The flight that makes this nested call. A nested call never joins a flight and is not joined,
  // so chains cannot wait for one another, and nobody hears of a chain that is not his; its
  // computation runs within its parent's.
  const Flight* parent = nullptr;
  // Whose call it is, so that closing the session ends its wait: see Abort. Null: nobody's.
  const Session* session = nullptr;
  // The request, where the key is not made of its bytes alone.
  std::optional<std::string_view> request = std::nullopt;
  // What a computation gets of the caller's metadata; null: nothing.
  const Metadata* metadata = nullptr;
  // Asked, under the cache's lock, when the call has to wait. False: it may not, and is Refused.
  std::optional<absl::FunctionRef<bool()>> may_wait = std::nullopt;
};

class MemoCache : public std::enable_shared_from_this<MemoCache> {
  struct Private {
    explicit Private() = default;
  };

 public:
  using Call = CacheCall;

  // `max_depth`: of nested calls; the first call has depth 1. `of_session`: see MethodCaches.
  static std::shared_ptr<MemoCache> Make(CacheContext& context, int max_depth, bool of_session);
  MemoCache(Private, CacheContext& context, int max_depth, bool of_session);  // for Make
  ~MemoCache();

  struct Detached {};
  struct Refused {};
  // An outcome: answered at once, by a hit or by an error. A flight: the waiter will be told, or
  // was. Detached: this cache is no more the session's; look for the one that is. Refused: as
  // call.may_wait said, who knows why.
  using Result = std::variant<Outcome, std::shared_ptr<Flight>, Detached, Refused>;

  // Answers from memory, joins a computation under way, or starts one by calling `compute` with no
  // lock held. A nested call on a detached cache computes by itself and is not counted.
  Result GetOrCompute(const Call& call, absl::FunctionRef<void(std::shared_ptr<Flight>)> compute)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // One of many lookups that are made at once, and what is found of it: valid in the call that tells.
  using Sought = MethodCaches::Sought;
  struct Found {
    const Answer& answer;  // or a remembered error
    Duration age;
    Answer::Ref Share() const { return LruCache::Share(&answer); }
  };
  // Finds what is there of many, in their order and under one lock: each is the hit that GetOrCompute
  // would make of it. What is not found is neither touched nor counted; GetOrCompute is to be asked
  // for it. `tell` is called under the lock, so it may copy, and nothing else; false: enough.
  using Tell = absl::FunctionRef<bool(size_t index, const Found& found)>;
  void FindHits(std::span<const Sought> sought, Time now, Tell tell) ABSL_LOCKS_EXCLUDED(mutex_);

  // One snapshot; counters since the method was last cleared here. Touches nothing.
  CacheInfo Info(const MemoizedMethod& method) const ABSL_LOCKS_EXCLUDED(mutex_);
  // How long ago the answer was computed that a lookup would find; nullopt: none. Touches nothing.
  std::optional<Duration> Age(const MemoizedMethod& method, const CacheKey& key, Time now) const
      ABSL_LOCKS_EXCLUDED(mutex_);

  // What was known at one instant, of each method used at all; its counters are those that no clear
  // resets.
  struct MethodHistory {
    const MemoizedMethod* method;
    CacheInfo info;
  };
  using History = std::vector<MethodHistory>;
  History GetHistory() const ABSL_LOCKS_EXCLUDED(mutex_);

  struct Released {
    Receipt receipt;
    History history;  // after it; of a Clear, of all methods
  };

  // Drops the entries of `method` (null: of every method) and starts their counting anew. What is
  // being computed meanwhile is delivered and not stored.
  Released Clear(const MemoizedMethod* method) ABSL_LOCKS_EXCLUDED(mutex_);

  // Drops the entry under `key`, if there is one. A computation of it is delivered and not stored.
  Receipt Forget(const MemoizedMethod& method, const CacheKey& key) ABSL_LOCKS_EXCLUDED(mutex_);

  // Drops everything, for good: nothing is stored or counted here any more. Computations go on and
  // answer those who wait. A second call finds nothing.
  Released Detach() ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends the waits of `session`'s calls (null: all waits) with an error. Each gets one made for it,
  // since the thread sanitizer cannot see into absl::Status's reference counts. What nobody waits
  // for any more is cancelled.
  using MakeError = absl::Status (*)();
  void Abort(const Session* session, MakeError error) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  friend class Flight;

  // What there is once anything was asked for. Until then a cache is small: there may be a million.
  struct Contents {
    MethodCaches caches;  // guarded by mutex_ as it says itself
    Flights flights;      // likewise
  };
  void MakeContents() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // The steps of GetOrCompute.

  // Why a call that is no hit gets no flight either. Found under the lock, put into words without it.
  enum class Refusal { kNone, kNotCached, kRecursion, kTooDeep, kMayNotWait, kTooManyWaiters };
  Refusal Check(const Call& call) const;
  Result Refuse(const Call& call, Refusal refusal) const ABSL_LOCKS_EXCLUDED(mutex_);

  // The steps of a flight's end.
  bool Begin(Flight& flight, Time now) ABSL_LOCKS_EXCLUDED(mutex_);
  void Complete(Flight& flight, absl::StatusOr<Answer::Ref> answer, Time now)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Abandon(Flight& flight, const absl::Status& error) ABSL_LOCKS_EXCLUDED(mutex_);
  bool Leave(Flight& flight, Waiter* waiter) ABSL_LOCKS_EXCLUDED(mutex_);
  // What may be told instead of `error`.
  std::optional<Outcome> FindStale(const Flight& flight, const absl::Status& error, Time now) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Null: nothing is counted any more, or not for this flight.
  Counters* CountersOf(const Flight& flight) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnCancel(Flight& flight, absl::AnyInvocable<void()> f) ABSL_LOCKS_EXCLUDED(mutex_);
  // Leaves to the reaper what held so many bytes.
  void Reap(MethodCaches::Garbage garbage, int64_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  History HistoryLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // There are contents. `garbage` is to be reaped.
  Released ClearLocked(const MemoizedMethod* method, MethodCaches::Garbage& garbage)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  CacheContext& context_;
  const int max_depth_;
  const bool of_session_;
  bool detached_ ABSL_GUARDED_BY(mutex_) = false;
  mutable Mutex mutex_;
  // Null: nothing was asked for yet. Made once.
  std::unique_ptr<Contents> contents_ ABSL_GUARDED_BY(mutex_) ABSL_PT_GUARDED_BY(mutex_);
};

}  // namespace memod
