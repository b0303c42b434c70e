#include "memod/server/compute_timeouts.h"

#include "absl/strings/str_cat.h"
#include "memod/cache/memo_cache.h"
#include "memod/cache/memo_error.h"

namespace memod {

ComputeTimeouts::~ComputeTimeouts() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void ComputeTimeouts::Watch(std::shared_ptr<Flight> flight) {
  bool first = false;
  {
    MutexLock lock(mutex_);
    const Key key(flight->deadline(), flight.get());
    watched_.emplace(key, std::move(flight));
    first = watched_.begin()->first == key;
  }
  if (first) changed_.notify_one();
}

void ComputeTimeouts::Unwatch(const Flight& flight) {
  std::shared_ptr<Flight> kept;  // let go after the lock
  MutexLock lock(mutex_);
  const auto it = watched_.find({flight.deadline(), &flight});
  if (it == watched_.end()) return;
  kept = std::move(it->second);
  watched_.erase(it);
}

int64_t ComputeTimeouts::size() const {
  MutexLock lock(mutex_);
  return static_cast<int64_t>(watched_.size());
}

void ComputeTimeouts::Run() {
  while (true) {
    std::shared_ptr<Flight> late;
    {
      MutexLock lock(mutex_);
      while (!stopping_ && (watched_.empty() || watched_.begin()->first.first > Clock::now())) {
        if (watched_.empty()) {
          changed_.wait(mutex_);
        } else {
          const Time next = watched_.begin()->first.first;
          changed_.wait_until(mutex_, next);
        }
      }
      if (stopping_) return;
      late = std::move(watched_.begin()->second);
      watched_.erase(watched_.begin());
    }
    const MemoizedMethod& method = late->method();
    late->Abandon(
        MemoError(absl::StatusCode::kDeadlineExceeded, memo_error::kComputeTimeout,
                  absl::StrCat(method.name, ": the computation took longer than ",
                               ToSeconds(method.policy.compute_timeout), " s (compute_timeout)")));
  }
}

}  // namespace memod
