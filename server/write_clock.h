// Cuts off calls whose clients have stopped reading: a write of a stream, or the answer to a unary
// call, that has not ended within server.write_timeout, or much later if it is large.
//
// Writes are not timed. It is counted how often the clock has looked at the same one, so a write
// costs nothing for it, and a time in which the server did not run counts as one look.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "memod/cache/mutex.h"
#include "memod/cache/reaper.h"
#include "memod/cache/time.h"
#include "memod/server/stalled_call.h"

namespace memod {

// The write of a call, if one is under way. Guarded by a mutex of the call's.
class WriteLooks {
 public:
  // `bytes`: of what is written; who reads slowly is to have the time.
  void Begin(size_t bytes) {
    looks_ = 0;
    most_ = kMost + static_cast<int>(bytes / kBytes);
  }
  void End() { looks_ = kNone; }
  bool under_way() const { return looks_ != kNone; }

  // By the clock: whether the same write has been under way for as long as may be; once.
  bool Look() { return under_way() && ++looks_ == most_ + 1; }
  // Look has said so.
  bool told() const { return looks_ > most_; }

  // A write is cut at the look after so many, which are the timeout apart, if it is small.
  static constexpr int kMost = 4;
  static constexpr size_t kBytes = 64 << 10;  // for as many more a write has one look more

 private:
  static constexpr int kNone = -1;
  int looks_ = kNone;
  int most_ = kMost;
};

// Those of the streams whose clients do not read, as each says by Stalled().
template <typename Streams>
std::vector<StalledCall> StalledOf(const Streams& streams) {
  std::vector<StalledCall> stalled;
  for (const auto& stream : streams) {
    if (std::optional<StalledCall> call = stream->Stalled()) stalled.push_back(*std::move(call));
  }
  return stalled;
}

class WriteClock {
 public:
  // Looks at every call once and returns those that are stalled.
  using Look = std::function<std::vector<StalledCall>()>;

  // A write is cut when it has taken `timeout`, or a quarter longer. 0: none ever is.
  // `reaper` outlives this: their memory goes back to the system.
  WriteClock(Duration timeout, Look look, Reaper& reaper);
  ~WriteClock();

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether it has stopped.
  bool Rest() ABSL_LOCKS_EXCLUDED(mutex_);
  void Cut(std::vector<StalledCall>& stalled) const;

  const Duration timeout_;
  const Look look_;
  Reaper& reaper_;

  Mutex mutex_;
  std::condition_variable_any stopped_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;  // last: it uses the others
};

}  // namespace memod
