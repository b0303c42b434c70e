#include "memod/cache/budget.h"

namespace memod {

void Budget::Enter(Member* member) {
  if (!limit_) return;
  LruCache::Removed removed;  // stays empty: nothing was used before Time::min
  MutexLock lock(mutex_);
  const auto it = places_.find(member);
  if (it != places_.end() && !it->second.spared) return;
  Remove(member);
  Add(member, member->EvictOldest(*this, {Time::min(), Time::min(), 0}, removed));
}

void Budget::Leave(Member* member) {
  if (!limit_) return;
  MutexLock lock(mutex_);
  Remove(member);
}

void Budget::Guarantee(int64_t charge) {
  if (!limit_) return;
  MutexLock lock(mutex_);
  guaranteed_ = charge;
  // Those that now have more than is guaranteed. (Those that have no more are spared in their
  // turn.)
  while (!spared_.empty() && spared_.rbegin()->first > guaranteed_) {
    Member* member = spared_.rbegin()->second;
    const Time oldest = places_.find(member)->second.oldest;
    Remove(member);
    Add(member, {.oldest = oldest});
  }
}

void Budget::Enforce(Time now) {
  if (!limit_ || used() <= *limit_) return;
  LruCache::Removed removed;  // freed after the lock
  MutexLock lock(mutex_);
  while (used() > *limit_ && EvictOne(now, removed)) {
  }
}

void Budget::Shrink(int64_t charge, Time now) {
  constexpr int kAtOnce = 1000;
  // What others store meanwhile is not made up for: they may be as fast.
  int64_t left = used() - charge;
  for (bool more = true; more;) {
    LruCache::Removed removed;  // freed after the lock
    MutexLock lock(mutex_);
    for (int i = 0; more && i < kAtOnce; ++i) {
      more = left > 0 && used() > charge && EvictOne(now, removed);
      if (more) left -= removed.back()->charge();
    }
  }
}

bool Budget::EvictOne(Time now, LruCache::Removed& removed) {
  while (!by_oldest_.empty()) {
    const auto [recorded, member] = *by_oldest_.begin();
    const size_t before = removed.size();
    const Member::Left left = member->EvictOldest(*this, {recorded, now, guaranteed_}, removed);
    Remove(member);
    Add(member, left);
    if (removed.size() > before) return true;
  }
  return false;
}

void Budget::Add(Member* member, const Member::Left& left) {
  if (!left.oldest) return;
  places_[member] = {*left.oldest, left.charge, left.spared};
  if (left.spared) {
    spared_.emplace(left.charge, member);
  } else {
    by_oldest_.emplace(*left.oldest, member);
  }
}

void Budget::Remove(Member* member) {
  const auto it = places_.find(member);
  if (it == places_.end()) return;
  by_oldest_.erase({it->second.oldest, member});
  spared_.erase({it->second.charge, member});
  places_.erase(it);
}

}  // namespace memod
