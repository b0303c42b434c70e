// Where computations wait until the test lets them go on. Thread-safe.
#pragma once

#include <condition_variable>
#include <mutex>

#include "memod/tests/testing/soon.h"

namespace memod {

class Gate {
 public:
  // Returns once the gate is open. It gives up when the test's patience is over.
  void Pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait_for(lock, kPatience, [&] { return open_; });
  }

  // For good: who comes later passes, too.
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

  // Whether `count` have come here; waits for them.
  bool AwaitArrived(int count = 1) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return arrived_ >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0;
  bool open_ = false;
};

}  // namespace memod
