// Promises that are kept by being renewed: a lease that was not renewed for its time to live lapses.
//
// Leases go by the time that the server has been running. While it is stopped (SIGSTOP, a machine
// that sleeps or stalls) their time stands still, since nobody could renew meanwhile: after it each
// has what was left of it before.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "memod/cache/mutex.h"
#include "memod/cache/time.h"

namespace memod {

// What lapses. Owned by a std::shared_ptr, of which Leases has one until it lapses or is revoked.
class Lease {
 public:
  virtual ~Lease() = default;

 private:
  friend class Leases;
  // On the thread that calls Leases::Advance, under no lock, when the lease is no more granted.
  virtual void OnLapsed() = 0;

  // By the time that the server has been running, as is `due_`. Read without a lock.
  std::atomic<Duration> until_{Duration::min()};
  // What follows, and the writing of that, is guarded by the mutex of the Leases that grant it.
  Duration ttl_{};
  Duration due_{};  // its place in the queue
  bool queued_ = false;
};

// Thread-safe.
class Leases {
 public:
  // How often Advance is called, while any lease is granted.
  static constexpr Duration kTick = std::chrono::milliseconds(50);
  // A longer time between two calls is one in which the server did not run, but for this much.
  static constexpr Duration kLongestTick = std::chrono::milliseconds(250);

  // Lapses once it was not renewed for `ttl`. One that is granted already lapses at the later of both
  // times, and has the new ttl from now on.
  void Grant(std::shared_ptr<Lease> lease, Duration ttl, Time now) ABSL_LOCKS_EXCLUDED(mutex_);
  // False: it is not granted (any more).
  bool Renew(Lease& lease, Time now) ABSL_LOCKS_EXCLUDED(mutex_);
  // It does not lapse any more. No lease may be destroyed while it is granted, so none is.
  void Revoke(Lease& lease) ABSL_LOCKS_EXCLUDED(mutex_);

  // It was granted, and is neither revoked nor over. It is over with the first Advance from its time
  // on, so at most a tick later; then it can only be granted anew, also where OnLapsed is yet to come
  // since very many lapse at once. Takes no lock.
  bool granted(const Lease& lease) const {
    // In this order: whoever renewed it did so before the time that is read here.
    const Duration running = running_.load(std::memory_order_acquire);
    return lease.until_.load(std::memory_order_relaxed) > running;
  }
  // Those that OnLapsed is yet to come for.
  int64_t size() const ABSL_LOCKS_EXCLUDED(mutex_);

  // It is `now`, which never goes back. Lets some of what is over lapse, the first ones first. True:
  // there are more, so it is to be called again, as much later as that took.
  [[nodiscard]] bool Advance(Time now) ABSL_LOCKS_EXCLUDED(mutex_);

  // Returns when any lease is granted (true), or after Stop (false).
  bool AwaitAny() ABSL_LOCKS_EXCLUDED(mutex_);
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // How long the server has been running.
  Duration RunningAt(Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  std::condition_variable_any changed_;
  std::atomic<Duration> running_{Duration::zero()};  // at the last Advance; written under mutex_
  Time advanced_ ABSL_GUARDED_BY(mutex_);            // which was then
  // By the earliest time at which each may lapse: a renewal moves `until_` alone.
  absl::btree_map<std::pair<Duration, const Lease*>, std::shared_ptr<Lease>> queue_
      ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace memod
