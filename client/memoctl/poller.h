// Asks the same question again and again, on a thread of its own.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <functional>
#include <optional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace memod {

// For one thread, but for what `ask` does on the other.
template <typename Answer>
class Poller {
 public:
  // Asks first after one interval, then each interval after the last answer. `cancel` makes an
  // `ask` that is under way return soon.
  Poller(absl::Duration interval, std::function<Answer()> ask, std::function<void()> cancel)
      : ask_(std::move(ask)),
        cancel_(std::move(cancel)),
        interval_(interval),
        thread_([this] { Run(); }) {}

  ~Poller() {
    {
      absl::MutexLock lock(&mutex_);
      stop_ = true;
    }
    cancel_();
    thread_.join();
    close(ready_);
  }
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // A file that can be read when there is an answer.
  int ready() const { return ready_; }

  // The last answer, if there is one since the last Take.
  std::optional<Answer> Take() {
    eventfd_t count;
    eventfd_read(ready_, &count);
    absl::MutexLock lock(&mutex_);
    return std::exchange(answer_, std::nullopt);
  }

  // From the wait under way on.
  void set_interval(absl::Duration interval) {
    absl::MutexLock lock(&mutex_);
    interval_ = interval;
  }

 private:
  void Run() {
    while (WaitForTurn()) {
      Answer answer = ask_();
      absl::MutexLock lock(&mutex_);
      answer_ = std::move(answer);
      eventfd_write(ready_, 1);
    }
  }

  // False: no more.
  bool WaitForTurn() ABSL_LOCKS_EXCLUDED(mutex_) {
    const absl::Time begin = absl::Now();
    absl::MutexLock lock(&mutex_);
    while (!stop_ && absl::Now() < begin + interval_) {
      const absl::Duration waited_for = interval_;
      const auto changed = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        return stop_ || interval_ != waited_for;
      };
      mutex_.AwaitWithDeadline(absl::Condition(&changed), begin + interval_);
    }
    return !stop_;
  }

  const std::function<Answer()> ask_;
  const std::function<void()> cancel_;
  const int ready_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

  absl::Mutex mutex_;
  absl::Duration interval_ ABSL_GUARDED_BY(mutex_);
  std::optional<Answer> answer_ ABSL_GUARDED_BY(mutex_);
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace memod
