// The computations under way in one MemoCache, and who waits for each. It knows nothing of what is
// remembered.
//
// Every flight that somebody waits for is running. It ends once, and whoever ends it tells its
// waiters. A running flight is joinable while equal calls may wait for it and its answer will be
// stored: one for each key. The others are solo: bypass, no-store, methods that store nothing, a
// second equal call that may not join, and whatever was made solo since it started.
//
// Guarded by its owner's mutex, which every call is made under. So nothing foreign is called or
// freed here: what is due once the mutex is let go is returned.
#pragma once

#include <list>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "memod/cache/cache_context.h"
#include "memod/cache/cache_key.h"
#include "memod/cache/flight.h"
#include "memod/cache/time.h"

namespace memod {

class Flights {
 public:
  using Waiters = Flight::Waiters;

  explicit Flights(CacheContext& context) : context_(context) {}

  // The flight that `call` may wait for; null: none.
  Flight* FindToJoin(const CacheCall& call);
  // Whether it has as many waiters as it may.
  bool IsFull(const Flight& flight) const;
  std::shared_ptr<Flight> Join(Flight& flight, const CacheCall& call);
  // Joinable if `call` and its method allow it, and it is counted. A refresh, and a call from outside
  // where there is a nested flight, make the one that is in the way solo.
  std::shared_ptr<Flight> Start(std::shared_ptr<MemoCache> cache, const CacheCall& call,
                                bool counted);

  bool running(const Flight& flight) const { return flight.state_.running; }
  bool joinable(const Flight& flight) const { return flight.state_.joinable; }

  // The computation begins. False: nobody waits for it.
  bool Begin(Flight& flight, Time now);
  // The computation has ended, whether anybody waits or not. Returns the seconds that it took, 0 if
  // it had not begun, and in `untold` what OnCancel kept.
  double EndComputing(Flight& flight, Time now, absl::AnyInvocable<void()>& untold);
  // Keeps `f` for Cancel, and leaves in it what was kept. True: `f` is to be called instead, now.
  bool OnCancel(Flight& flight, absl::AnyInvocable<void()>& f);

  // Ends it. Returns its waiters, who are to be told.
  Waiters End(Flight& flight);
  // Ends it before its computation has ended: the waiters are to be told, then the computation.
  struct Cancelled {
    std::shared_ptr<Flight> flight;
    std::shared_ptr<const Self> unused;  // of a computation that has not begun
    Waiters waiters;
    absl::AnyInvocable<void()> tell_computation;  // may be null
  };
  Cancelled Cancel(Flight& flight);
  // `waiter` waits no longer; if it was the last, the flight is cancelled. False: it did not wait.
  bool Leave(Flight& flight, const Waiter* waiter, Cancelled& cancelled);
  // The same for all who wait for a call of `session`; null: everybody.
  Waiters LeaveAll(const Session* session, std::vector<Cancelled>& cancelled);

  // What would have been stored is not: of one key, or of `method` (null: all).
  void MakeSolo(const CacheKey& key);
  void MakeSolo(const MemoizedMethod* method);

 private:
  void MakeSolo(Flight& flight);
  void AddWaiter(Flight& flight, const Flight::Waiting& waiting);
  void CountWaiters(int64_t change);

  CacheContext& context_;
  // By keys over their own bytes.
  absl::flat_hash_map<CacheKey, Flight*, CacheKey::Hash> joinable_;
  std::list<std::shared_ptr<Flight>> running_;
};

}  // namespace memod
