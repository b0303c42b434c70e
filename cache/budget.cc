#include "memod/cache/budget.h"

namespace memod {

void Budget::Enter(Member* member) {
  if (!limit_) return;
  std::vector<LruCache::EntryPtr> removed;  // stays empty: nothing was used before Time::min
  MutexLock lock(mutex_);
  if (recorded_.contains(member)) return;
  if (auto oldest = member->EvictOldest(*this, Time::min(), Time::min(), removed)) {
    Record(member, *oldest);
  }
}

void Budget::Leave(Member* member) {
  if (!limit_) return;
  MutexLock lock(mutex_);
  Forget(member);
}

void Budget::Enforce(Time now) {
  if (!limit_ || used() <= *limit_) return;
  std::vector<LruCache::EntryPtr> removed;  // freed after the lock
  MutexLock lock(mutex_);
  while (used() > *limit_ && EvictOne(now, removed)) {
  }
}

bool Budget::EvictOne(Time now, std::vector<LruCache::EntryPtr>& removed) {
  while (!by_oldest_.empty()) {
    const auto [recorded, member] = *by_oldest_.begin();
    const size_t before = removed.size();
    const std::optional<Time> oldest = member->EvictOldest(*this, recorded, now, removed);
    Forget(member);
    if (oldest) Record(member, *oldest);
    if (removed.size() > before) return true;
  }
  return false;
}

void Budget::Record(Member* member, Time oldest) {
  recorded_[member] = oldest;
  by_oldest_.emplace(oldest, member);
}

void Budget::Forget(Member* member) {
  const auto it = recorded_.find(member);
  if (it == recorded_.end()) return;
  by_oldest_.erase({it->second, member});
  recorded_.erase(it);
}

}  // namespace memod
