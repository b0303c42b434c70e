// How many calls have come in and are not answered yet, for a server that waits for them to end.
// Thread-safe.
#pragma once

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
    // Empty on purpose: whoever waits is past its look at the count, and asleep, once it is ours.
    { MutexLock lock(mutex_); }
    idle_.notify_all();
  }
  int64_t count() const { return count_.load(); }

  // Whether there was none at some moment before `until`.
  bool WaitIdle(Time until) ABSL_LOCKS_EXCLUDED(mutex_) {
    awaited_.store(true);
    MutexLock lock(mutex_);
    while (count_.load() > 0) {
      if (idle_.wait_until(mutex_, until) == std::cv_status::timeout) return count_.load() == 0;
    }
    return true;
  }

 private:
  std::atomic<int64_t> count_{0};
  std::atomic<bool> awaited_{false};
  Mutex mutex_;
  std::condition_variable_any idle_;
};

}  // namespace memod
