// Gives computations up whose compute_timeout is over, whether they look at their context or not.
//
// Thread-safe; one thread, which sleeps until the next deadline.
#pragma once

#include <condition_variable>
#include <memory>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "memod/cache/flight.h"
#include "memod/cache/mutex.h"

namespace memod {

class ComputeTimeouts {
 public:
  ComputeTimeouts() : thread_([this] { Run(); }) {}
  ~ComputeTimeouts();

  // Until Unwatch, answers the flight's waiters with DEADLINE_EXCEEDED (memo-error:
  // COMPUTE_TIMEOUT) once its deadline has passed.
  void Watch(std::shared_ptr<Flight> flight) ABSL_LOCKS_EXCLUDED(mutex_);
  void Unwatch(const Flight& flight) ABSL_LOCKS_EXCLUDED(mutex_);
  // Flights that are watched.
  int64_t size() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Key = std::pair<Time, const Flight*>;
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);

  mutable Mutex mutex_;
  std::condition_variable_any changed_;
  absl::btree_map<Key, std::shared_ptr<Flight>> watched_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;  // last: it uses the others
};

}  // namespace memod
