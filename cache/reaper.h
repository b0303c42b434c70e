// Frees what takes long to free, off every call's path: the entries of a closed session, a hosted
// instance with its own destructor. And has the allocator give back to the system what is free.
//
// Thread-safe. Whatever was added is destroyed on the reaper's one thread, at the latest when the
// reaper itself is.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "memod/cache/mutex.h"
#include "memod/cache/time.h"

namespace memod {

class Reaper {
 public:
  Reaper();
  ~Reaper();
  Reaper(const Reaper&) = delete;
  Reaper& operator=(const Reaper&) = delete;

  // Drops this reference on the reaper's thread.
  void Add(std::shared_ptr<const void> garbage) ABSL_LOCKS_EXCLUDED(mutex_);

  // Trimming looks at all of the heap: not for less.
  static constexpr int64_t kWorthTrimming = 1 << 20;
  // About so many bytes are free by now, or will be by what was added. Once it is worth it, and
  // what was added is destroyed, the system gets its memory back: within half a second.
  void Reclaim(int64_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);

  // Returns when all that was added before is destroyed.
  void Drain() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  // Until there is something to do; false: it is to trim.
  bool Wait() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<std::shared_ptr<const void>> garbage_ ABSL_GUARDED_BY(mutex_);
  uint64_t added_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t freed_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t reclaimable_ ABSL_GUARDED_BY(mutex_) = 0;  // bytes free since the last trim
  Time next_trim_ ABSL_GUARDED_BY(mutex_);           // not before
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;  // last: it uses the others
};

}  // namespace memod
