// How many calls have come in and are not answered yet, for a server that waits for them to end.
// Thread-safe.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "memod/cache/mutex.h"
#include "memod/cache/time.h"

namespace memod {

class CallsInFlight {
 public:
  void Enter() { count_.fetch_add(1); }
  void Leave() {
    if (count_.fetch_sub(1) != 1 || !awaited_.load()) return;
    {
      MutexLock lock(mutex_);
      idle_since_ = Clock::now();
    }
    idle_.notify_all();
  }
  int64_t count() const { return count_.load(); }

  // Waits until there has been none for as long as `quiet`, or it is `until`. Whether there is none.
  bool WaitIdle(Duration quiet, Time until) ABSL_LOCKS_EXCLUDED(mutex_) {
    awaited_.store(true);
    MutexLock lock(mutex_);
    idle_since_ = Clock::now();
    for (;;) {
      const bool idle = count_.load() == 0;
      const Time end = idle ? std::min(idle_since_ + quiet, until) : until;
      if (Clock::now() >= end) return idle;
      idle_.wait_until(mutex_, end);
    }
  }

 private:
  std::atomic<int64_t> count_{0};
  std::atomic<bool> awaited_{false};
  Mutex mutex_;
  Time idle_since_ ABSL_GUARDED_BY(mutex_);  // once awaited
  std::condition_variable_any idle_;
};

}  // namespace memod
