// How many calls have come in and are not answered yet, for a server that waits for them to end.
// Thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "memod/cache/mutex.h"
#include "memod/cache/time.h"

namespace memod {

class CallsInFlight {
 public:
  void Enter() { MyStripe().entered.fetch_add(1); }
  void Leave() {
    MyStripe().left.fetch_add(1);
    if (!awaited_.load() || count() > 0) return;
    // Empty on purpose: whoever waits is past its look at the count, and asleep, once it is ours.
    { MutexLock lock(mutex_); }
    idle_.notify_all();
  }
  // Exact at some moment within this call if it is 0, otherwise at most too high.
  int64_t count() const {
    // Neither sum ever falls, and nobody leaves who has not entered. So if those that had entered
    // after are no more than those that had left before, there was none in between.
    int64_t count = 0;
    for (const Stripe& stripe : stripes_) count -= stripe.left.load();
    for (const Stripe& stripe : stripes_) count += stripe.entered.load();
    return count;
  }

  // Whether there was none at some moment before `until`.
  bool WaitIdle(Time until) ABSL_LOCKS_EXCLUDED(mutex_) {
    awaited_.store(true);
    MutexLock lock(mutex_);
    while (count() > 0) {
      if (idle_.wait_until(mutex_, until) == std::cv_status::timeout) return count() == 0;
    }
    return true;
  }

 private:
  // So that threads do not write the same cache line with each call.
  struct alignas(64) Stripe {
    std::atomic<int64_t> entered{0}, left{0};
  };
  Stripe& MyStripe() {
    static std::atomic<size_t> threads{0};
    thread_local const size_t mine = threads.fetch_add(1);
    return stripes_[mine % stripes_.size()];
  }

  std::array<Stripe, 16> stripes_;
  std::atomic<bool> awaited_{false};
  Mutex mutex_;
  std::condition_variable_any idle_;
};

}  // namespace memod
