#include "memod/cache/reaper.h"

#include <sys/resource.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <utility>

namespace memod {
namespace {

// It has no hurry, and a hit has: one waits up to 5 ms for a CPU that frees at equal rights.
constexpr int kNice = 10;

// Nor does it more often.
constexpr Duration kBetweenTrims = std::chrono::milliseconds(250);

// For the process: the index of a large cache is a mapping of its own, and no heap keeps more than
// that at its end. Set, so that they do not grow: malloc_trim leaves the ends of heaps alone, but of
// one. Large answers, made and freed by the second, stay in the heap.
constexpr int kLargeBlock = 8 << 20;

void ConfigureAllocator() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, kLargeBlock);
  mallopt(M_TRIM_THRESHOLD, kLargeBlock);
#endif
}

// glibc's malloc gives back by itself what is free at the end of a heap only.
void Trim() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

}  // namespace

Reaper::Reaper() : thread_([this] { Run(); }) { ConfigureAllocator(); }

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

void Reaper::Reclaim(int64_t bytes) {
  bool worth_it = false;
  {
    MutexLock lock(mutex_);
    const bool was_worth_it = reclaimable_ >= kWorthTrimming;
    reclaimable_ += bytes;
    // Told once: from then on the reaper only waits for the time.
    worth_it = !was_worth_it && reclaimable_ >= kWorthTrimming;
  }
  if (worth_it) changed_.notify_all();
}

bool Reaper::Wait() {
  while (garbage_.empty() && !stopping_) {
    if (reclaimable_ < kWorthTrimming) {
      changed_.wait(mutex_);
    } else if (Clock::now() < next_trim_) {
      changed_.wait_until(mutex_, next_trim_);
    } else {
      return false;
    }
  }
  return true;
}

void Reaper::Run() {
  setpriority(PRIO_PROCESS, 0, kNice);  // of this thread alone
  std::vector<std::shared_ptr<const void>> batch;
  while (true) {
    bool trim = false;
    {
      MutexLock lock(mutex_);
      trim = !Wait();
      if (trim) {
        reclaimable_ = 0;
      } else if (garbage_.empty()) {
        return;
      }
      batch.swap(garbage_);
    }
    if (trim) Trim();
    const size_t count = batch.size();
    batch.clear();
    {
      MutexLock lock(mutex_);
      freed_ += count;
      if (trim) next_trim_ = Clock::now() + kBetweenTrims;
    }
    changed_.notify_all();
  }
}

}  // namespace memod
