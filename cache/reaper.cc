#include "memod/cache/reaper.h"

#include <utility>

namespace memod {

Reaper::~Reaper() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Reaper::Add(std::shared_ptr<const void> garbage) {
  if (garbage == nullptr) return;
  {
    MutexLock lock(mutex_);
    garbage_.push_back(std::move(garbage));
    ++added_;
  }
  changed_.notify_all();
}

void Reaper::Drain() {
  MutexLock lock(mutex_);
  for (const uint64_t target = added_; freed_ < target;) changed_.wait(mutex_);
}

void Reaper::Run() {
  std::vector<std::shared_ptr<const void>> batch;
  while (true) {
    {
      MutexLock lock(mutex_);
      while (garbage_.empty() && !stopping_) changed_.wait(mutex_);
      if (garbage_.empty()) return;
      batch.swap(garbage_);
    }
    const size_t count = batch.size();
    batch.clear();
    {
      MutexLock lock(mutex_);
      freed_ += count;
    }
    changed_.notify_all();
  }
}

}  // namespace memod
