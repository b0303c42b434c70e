// Keeps gRPC's event threads polling, by an event for them every half second.
//
// gRPC 1.51 runs callbacks, those of servers and of clients, on a few threads, each of which sleeps
// for 100 ms whenever it has had no event for 1 s (src/cpp/common/completion_queue_cc.cc). After a
// second of silence they all do so at once, and a call that comes then waits until one wakes up.
// Whichever thread gets a pulse polls for a second from then on, so one of them always does.
#pragma once

#include <condition_variable>
#include <semaphore>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "memod/cache/mutex.h"

namespace memod {

class Pulse {
 public:
  Pulse() : thread_([this] { Run(); }) {}
  ~Pulse();

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether it has stopped.
  bool Rest() ABSL_LOCKS_EXCLUDED(mutex_);

  Mutex mutex_;
  std::condition_variable_any stopped_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::binary_semaphore beaten_{0};

  std::thread thread_;  // last: it uses the others
};

}  // namespace memod
