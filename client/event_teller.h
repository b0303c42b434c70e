// Tells the holder of a session what becomes of it. Internal to the library.
#pragma once

#include <deque>
#include <functional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "memod/client/client.h"

namespace memod {

// One event at a time, in the order in which they come, from whatever thread. Thread-safe.
class EventTeller {
 public:
  explicit EventTeller(SessionEvents events) : events_(std::move(events)) {}

  using Event = std::function<void(const SessionEvents&)>;
  // Comes after those that were added before. With whatever lock makes it happen.
  void Add(Event event) ABSL_LOCKS_EXCLUDED(mutex_);
  // Tells what was added, on this thread, or on the one that tells just now. With no lock held.
  void Tell() ABSL_LOCKS_EXCLUDED(mutex_);

  // From now on no event is told, and none is being told, but for one that makes this very call.
  void Release() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  bool NothingIsTold() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return telling_ == std::thread::id();
  }

  absl::Mutex mutex_;
  std::deque<Event> waiting_ ABSL_GUARDED_BY(mutex_);
  bool released_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread::id telling_ ABSL_GUARDED_BY(mutex_);  // the thread that tells an event
  // Not guarded: read by whoever tells, and dropped once released and nobody tells any more.
  SessionEvents events_;
};

}  // namespace memod
