#include "memod/client/event_teller.h"

#include "memod/client/in_callback.h"

namespace memod {

void EventTeller::Add(Event event) {
  absl::MutexLock lock(&mutex_);
  if (!released_) waiting_.push_back(std::move(event));
}

void EventTeller::Tell() {
  const InCallback here;
  SessionEvents dropped;  // after the lock: closures may hold anything
  absl::MutexLock lock(&mutex_);
  if (released_ || waiting_.empty() || !NothingIsTold()) return;
  telling_ = std::this_thread::get_id();
  while (!waiting_.empty() && !released_) {
    const Event next = std::move(waiting_.front());
    waiting_.pop_front();
    mutex_.Unlock();
    next(events_);
    mutex_.Lock();
  }
  telling_ = std::thread::id();
  if (released_) std::swap(dropped, events_);
}

void EventTeller::Release() {
  SessionEvents dropped;
  absl::MutexLock lock(&mutex_);
  released_ = true;
  if (telling_ == std::this_thread::get_id()) return;
  mutex_.Await(absl::Condition(this, &EventTeller::NothingIsTold));
  std::swap(dropped, events_);
}

}  // namespace memod
