// How close the process is to its limit of memory, and what memod does less of therefore.
//
// Before anything is refused, entries are given back: the least recently used, whosever they are, but
// for what is guaranteed to sessions. Then, step by step, fewer things are taken on; each step ends by
// itself once so much memory is free again. Thread-safe.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "memod/cache/cache_context.h"
#include "memod/cache/mutex.h"
#include "memod/cache/time.h"

namespace memod {

// A limit, and how much of it is used.
struct MemorySource {
  int64_t limit;
  std::string limit_name;  // what set it, for people
  // In bytes; nullopt: it cannot be told just now.
  std::function<std::optional<int64_t>()> used;
};

class MemoryPressure {
 public:
  // What goes on; each step includes those before it.
  enum class Step {
    kNone,
    kEvicting,    // from 80 % on: entries are given back
    kNoSessions,  // from 85 % on
    kNoEntries,   // from 92 % on: calls are answered, and nothing new is remembered
    kNoCalls,     // from 97 % on
  };
  static constexpr int kSteps = 5;
  static const char* Name(Step step);
  // A step ends at so much less than it began at, so that none comes and goes all the time.
  static constexpr int kLessPercent = 5;

  // nullopt: there is no limit, and never any pressure. `context` outlives it.
  MemoryPressure(std::optional<MemorySource> source, CacheContext& context);

  // One atomic read.
  Step step() const { return step_.load(std::memory_order_relaxed); }
  // RESOURCE_EXHAUSTED from this step on (memo-error: LIMIT).
  absl::Status Check(Step refused) const {
    return step() < refused ? absl::OkStatus() : Refusal(refused);
  }

  // nullopt: there is none.
  std::optional<int64_t> limit() const;
  // When it was last looked at.
  int64_t used() const { return used_.load(std::memory_order_relaxed); }

  // Looks how much is used. By one thread at a time.
  void Look(Time now);

 private:
  absl::Status Refusal(Step refused) const;
  Step StepAt(int64_t used) const;
  // How many bytes of entries.
  int64_t GiveBack(Time now);

  const std::optional<MemorySource> source_;
  CacheContext& context_;
  std::atomic<Step> step_{Step::kNone};
  std::atomic<int64_t> used_{0};
  Time next_trim_{};  // Look's own
};

// Looks at it every quarter of a second, if there is a limit, on a thread of its own.
class MemoryWatch {
 public:
  // `pressure` outlives it.
  explicit MemoryWatch(MemoryPressure& pressure);
  ~MemoryWatch();

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);

  MemoryPressure& pressure_;
  Mutex mutex_;
  std::condition_variable_any stopped_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;  // last: it uses the others
};

}  // namespace memod
