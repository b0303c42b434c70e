// The threads that run hosted code: a fixed number, and a bounded queue before them.
//
// They are nicer than the process's other threads, so that hits need not wait for computations.
//
// Thread-safe. Stacks are sized for `max_depth` nested calls, each of which runs on its parent's
// thread.
#pragma once

#include <pthread.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "memod/cache/mutex.h"

namespace memod {

class ComputePool {
 public:
  struct Options {
    int threads = 0;  // 0: one per core
    int64_t queue = 1024;
    int max_depth = 1000;
    std::string name =
        "compute.queue";  // what bounds the queue, for the error that says it is full
  };
  // Called once. OK: on a thread of the pool, now is the time to run. Otherwise the reason why it
  // will not be run, within Submit or Stop or on a thread of the pool.
  using Job = absl::AnyInvocable<void(const absl::Status&)>;
  // Whether anybody still wants a queued job to run; called under the pool's lock, so short and
  // without locks that are held while submitting.
  using Wanted = std::function<bool()>;

  explicit ComputePool(const Options& options);
  // Stops, and waits for what runs.
  ~ComputePool();
  ComputePool(const ComputePool&) = delete;
  ComputePool& operator=(const ComputePool&) = delete;

  // RESOURCE_EXHAUSTED to the job: every thread is busy and the queue is full of jobs still wanted.
  // CANCELLED: it is not wanted any more. UNAVAILABLE: the pool has stopped.
  void Submit(Job job, Wanted wanted) ABSL_LOCKS_EXCLUDED(mutex_);

  // Jobs that wait for a thread, those included that nobody wants any more.
  int64_t queued() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Refuses what is queued and what comes; what runs goes on.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Queued {
    Job job;
    Wanted wanted;
  };

  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  // Takes the jobs out of the queue that nobody wants any more.
  std::vector<Job> TakeUnwanted() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const int64_t queue_limit_;
  const std::string name_;
  std::vector<pthread_t> threads_;  // constant after construction

  mutable Mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<Queued> queue_ ABSL_GUARDED_BY(mutex_);
  int64_t idle_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace memod
