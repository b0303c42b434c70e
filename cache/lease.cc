#include "memod/cache/lease.h"

#include <algorithm>
#include <vector>

namespace memod {
namespace {

// How many are looked at before others get the mutex, and the time is looked at again.
constexpr int kAtOnce = 100;

}  // namespace

Duration Leases::RunningAt(Time now) const {
  return running_.load() + std::clamp(now - advanced_, Duration::zero(), kLongestTick);
}

void Leases::Grant(std::shared_ptr<Lease> lease, Duration ttl, Time now) {
  bool first = false;
  {
    MutexLock lock(mutex_);
    // Nobody advances while there is nothing to lapse.
    if (queue_.empty()) advanced_ = now;
    Lease& granted = *lease;
    granted.ttl_ = ttl;
    const Duration until = RunningAt(now) + ttl;
    granted.until_ = granted.granted_ ? std::max(granted.until_.load(), until) : until;
    if (granted.granted_) return;
    granted.granted_ = true;
    granted.queued_ = granted.until_;
    queue_.emplace(std::pair(granted.queued_, &granted), std::move(lease));
    first = queue_.size() == 1;
  }
  if (first) changed_.notify_all();
}

bool Leases::Renew(Lease& lease, Time now) {
  MutexLock lock(mutex_);
  return ExtendLocked(lease, lease.ttl_, now);
}

bool Leases::Extend(Lease& lease, Duration at_least, Time now) {
  MutexLock lock(mutex_);
  return ExtendLocked(lease, at_least, now);
}

bool Leases::ExtendLocked(Lease& lease, Duration at_least, Time now) {
  if (!GrantedLocked(lease)) return false;
  lease.until_ = std::max(lease.until_.load(), RunningAt(now) + at_least);
  return true;
}

void Leases::Revoke(Lease& lease) {
  std::shared_ptr<Lease> revoked;  // let go after the lock
  MutexLock lock(mutex_);
  if (!std::exchange(lease.granted_, false)) return;
  const auto it = queue_.find({lease.queued_, &lease});
  revoked = std::move(it->second);
  queue_.erase(it);
}

bool Leases::granted(const Lease& lease) const {
  MutexLock lock(mutex_);
  return GrantedLocked(lease);
}

int64_t Leases::size() const {
  MutexLock lock(mutex_);
  return static_cast<int64_t>(queue_.size());
}

bool Leases::Advance(Time now) {
  std::vector<std::shared_ptr<Lease>> lapsed;
  bool more = true;
  {
    MutexLock lock(mutex_);
    const Duration running = RunningAt(now);
    running_.store(running, std::memory_order_release);
    advanced_ = std::max(advanced_, now);
    for (int looked_at = 0; looked_at < kAtOnce; ++looked_at) {
      const auto first = queue_.begin();
      more = first != queue_.end() && first->first.first <= running;
      if (!more) break;
      std::shared_ptr<Lease> lease = std::move(first->second);
      queue_.erase(first);
      lease->granted_ = !over(*lease);
      if (lease->granted_) {
        lease->queued_ = lease->until_;
        const std::pair place(lease->queued_, lease.get());
        queue_.emplace(place, std::move(lease));
      } else {
        lapsed.push_back(std::move(lease));
      }
    }
  }
  for (const auto& lease : lapsed) lease->OnLapsed();
  return more;
}

bool Leases::AwaitAny() {
  MutexLock lock(mutex_);
  while (queue_.empty() && !stopped_) changed_.wait(mutex_);
  return !stopped_;
}

void Leases::Stop() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
}

}  // namespace memod
