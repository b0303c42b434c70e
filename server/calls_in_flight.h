// How many calls have come in and are not answered yet, for a server that waits for them to end; and
// beside them those that are silent: they have begun, and their message has not come. Thread-safe.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "memod/cache/mutex.h"
#include "memod/cache/time.h"
#include "memod/server/stripes.h"
#include "memod/server/unsent_answers.h"

namespace memod {

class CallsInFlight {
 public:
  void Enter() { stripes_.Mine().entered.fetch_add(1); }
  void Leave() {
    stripes_.Mine().left.fetch_add(1);
    if (!awaited_.load() || count() > 0) return;
    {
      MutexLock lock(mutex_);
      idle_since_ = Clock::now();
    }
    idle_.notify_all();
  }
  void BeginSilent() { silent_.fetch_add(1); }
  void EndSilent() { silent_.fetch_sub(1); }
  // The message of a silent call is there: it is one as others are, and to Leave.
  void EnterSilent() {
    Enter();
    EndSilent();
  }

  // Unary answers on their way, also to calls that are not counted here.
  UnsentAnswers& unsent() { return unsent_; }
  const UnsentAnswers& unsent() const { return unsent_; }

  // Exact at some moment within this call if it is 0, otherwise at most too high.
  int64_t count() const {
    // Neither sum ever falls, and nobody leaves who has not entered. So if those that had entered
    // after are no more than those that had left before, there was none in between.
    int64_t count = 0;
    for (const Stripe& stripe : stripes_) count -= stripe.left.load();
    for (const Stripe& stripe : stripes_) count += stripe.entered.load();
    return count;
  }

  // The same, with those that are silent.
  int64_t count_with_silent() const {
    const int64_t silent = silent_.load();  // first: who is silent no more is in the count
    return silent + count();
  }

  // Waits until there has been none for as long as `quiet`, or it is `until`. Whether there is none.
  // For those that are silent nobody waits.
  bool WaitIdle(Duration quiet, Time until) ABSL_LOCKS_EXCLUDED(mutex_) {
    awaited_.store(true);
    MutexLock lock(mutex_);
    idle_since_ = Clock::now();
    for (;;) {
      const bool idle = count() == 0;
      const Time end = idle ? std::min(idle_since_ + quiet, until) : until;
      if (Clock::now() >= end) return idle;
      idle_.wait_until(mutex_, end);
    }
  }

 private:
  struct alignas(64) Stripe {
    std::atomic<int64_t> entered{0}, left{0};
  };

  Stripes<Stripe> stripes_;
  UnsentAnswers unsent_;
  std::atomic<int64_t> silent_{0};
  std::atomic<bool> awaited_{false};
  Mutex mutex_;
  Time idle_since_ ABSL_GUARDED_BY(mutex_);  // once awaited
  std::condition_variable_any idle_;
};

}  // namespace memod
