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
    lease->ttl_ = ttl;
    lease->until_ = std::max(lease->until_.load(), RunningAt(now) + ttl);
    if (std::exchange(lease->queued_, true)) return;
    lease->due_ = lease->until_;
    const std::pair place(lease->due_, lease.get());
    queue_.emplace(place, std::move(lease));
    first = queue_.size() == 1;
  }
  if (first) changed_.notify_all();
}

bool Leases::Renew(Lease& lease, Time now) {
  MutexLock lock(mutex_);
  if (!granted(lease)) return false;
  lease.until_ = std::max(lease.until_.load(), RunningAt(now) + lease.ttl_);
  return true;
}

void Leases::Revoke(Lease& lease) {
  std::shared_ptr<Lease> revoked;  // let go after the lock
  MutexLock lock(mutex_);
  lease.until_ = Duration::min();
  if (!std::exchange(lease.queued_, false)) return;
  const auto it = queue_.find({lease.due_, &lease});
  revoked = std::move(it->second);
  queue_.erase(it);
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
      lease->queued_ = granted(*lease);
      if (lease->queued_) {
        lease->due_ = lease->until_;
        const std::pair place(lease->due_, lease.get());
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
