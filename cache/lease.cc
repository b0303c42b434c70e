#include "memod/cache/lease.h"

#include <algorithm>
#include <vector>

namespace memod {
namespace {

// How many are looked at before others get the mutex.
constexpr int kAtOnce = 1000;

}  // namespace

Duration Leases::RunningAt(Time now) const {
  return running_ + std::clamp(now - advanced_, Duration::zero(), kLongestTick);
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
    granted.until_ = granted.granted_ ? std::max(granted.until_, until) : until;
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
  if (!lease.granted_) return false;
  lease.until_ = std::max(lease.until_, RunningAt(now) + lease.ttl_);
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
  return lease.granted_;
}

int64_t Leases::size() const {
  MutexLock lock(mutex_);
  return static_cast<int64_t>(queue_.size());
}

void Leases::Advance(Time now) {
  bool more = true;
  while (more) {
    std::vector<std::shared_ptr<Lease>> lapsed;
    {
      MutexLock lock(mutex_);
      running_ = RunningAt(now);
      advanced_ = std::max(advanced_, now);
      for (int looked_at = 0; looked_at < kAtOnce; ++looked_at) {
        const auto first = queue_.begin();
        more = first != queue_.end() && first->first.first <= running_;
        if (!more) break;
        std::shared_ptr<Lease> lease = std::move(first->second);
        queue_.erase(first);
        lease->granted_ = lease->until_ > running_;
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
  }
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
