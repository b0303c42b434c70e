// Promises that are kept by being renewed: a lease that was not renewed for its time to live lapses.
//
// Leases go by the time that the server has been running. While it is stopped (SIGSTOP, a machine
// that sleeps or stalls) their time stands still, since nobody could renew meanwhile: after it each
// has what was left of it before.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "memod/cache/mutex.h"
#include "memod/cache/time.h"

namespace memod {

// What lapses. Owned by a std::shared_ptr, of which Leases has one while it is granted.
class Lease {
 public:
  virtual ~Lease() = default;

 private:
  friend class Leases;
  // On the thread that calls Leases::Advance, under no lock, after the lease is no more granted.
  virtual void OnLapsed() = 0;

  // What follows is guarded by the mutex of the Leases that grant it.
  Duration ttl_{};
  Duration until_{};  // by the time that the server has been running, as is `queued_`
  Duration queued_{};
  bool granted_ = false;
};

// Thread-safe.
class Leases {
 public:
  // How often Advance is called, while any lease is granted.
  static constexpr Duration kTick = std::chrono::milliseconds(50);
  // A longer time between two calls is one in which the server did not run, but for this much.
  static constexpr Duration kLongestTick = std::chrono::milliseconds(250);

  // Lapses once it was not renewed for `ttl`. One that is granted already does so at the later of
  // both times, and has the new ttl from now on.
  void Grant(std::shared_ptr<Lease> lease, Duration ttl, Time now) ABSL_LOCKS_EXCLUDED(mutex_);
  // False: it is not granted (any more).
  bool Renew(Lease& lease, Time now) ABSL_LOCKS_EXCLUDED(mutex_);
  // It does not lapse any more. No lease may be destroyed while it is granted, so none is.
  void Revoke(Lease& lease) ABSL_LOCKS_EXCLUDED(mutex_);

  bool granted(const Lease& lease) const ABSL_LOCKS_EXCLUDED(mutex_);
  int64_t size() const ABSL_LOCKS_EXCLUDED(mutex_);

  // It is `now`, which never goes back. Lets lapse what is over: never before its time, and at most
  // a tick after it.
  void Advance(Time now) ABSL_LOCKS_EXCLUDED(mutex_);

  // Returns when any lease is granted (true), or after Stop (false).
  bool AwaitAny() ABSL_LOCKS_EXCLUDED(mutex_);
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // How long the server has been running.
  Duration RunningAt(Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  std::condition_variable_any changed_;
  Duration running_ ABSL_GUARDED_BY(mutex_){};  // at the last Advance,
  Time advanced_ ABSL_GUARDED_BY(mutex_);       // which was then
  // By the earliest time at which each may lapse: a renewal moves `until_` alone.
  absl::btree_map<std::pair<Duration, const Lease*>, std::shared_ptr<Lease>> queue_
      ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace memod
