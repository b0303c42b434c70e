#include "memod/server/write_clock.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memod/server/logging.h"

namespace memod {

WriteClock::WriteClock(Duration timeout, Look look) : timeout_(timeout), look_(std::move(look)) {
  if (timeout > Duration::zero()) thread_ = std::thread([this] { Run(); });
}

WriteClock::~WriteClock() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  stopped_.notify_one();
  if (thread_.joinable()) thread_.join();
}

bool WriteClock::Rest() {
  const Time until =
      Clock::now() + std::max<Duration>(timeout_ / WriteLooks::kMost, std::chrono::milliseconds(1));
  MutexLock lock(mutex_);
  while (!stopping_) {
    if (stopped_.wait_until(mutex_, until) == std::cv_status::timeout) break;
  }
  return stopping_;
}

void WriteClock::Run() {
  while (!Rest()) Cut(look_());
}

void WriteClock::Cut(std::vector<StalledCall> stalled) const {
  const absl::Status status = absl::DeadlineExceededError(
      absl::StrCat("the client has read nothing for ", ToSeconds(timeout_),
                   " s of what it was sent (server.write_timeout)"));
  for (StalledCall& call : stalled) {
    Log(LogLevel::warn, "client does not read: its stream is cut", {{"peer", call.peer()}});
    call.Cut(status);
  }
}

}  // namespace memod
