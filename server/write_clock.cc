#include "memod/server/write_clock.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memod/server/logging.h"

namespace memod {
namespace {

// What gRPC keeps of a call.
constexpr int64_t kCallBytes = 16 << 10;

}  // namespace

WriteClock::WriteClock(Duration timeout, Look look, Reaper& reaper)
    : timeout_(timeout), look_(std::move(look)), reaper_(reaper) {
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
  int64_t cut = 0;
  while (!Rest()) {
    reaper_.Reclaim(cut * kCallBytes);  // gRPC has let go of them by now
    std::vector<StalledCall> stalled = look_();
    Cut(stalled);
    cut = static_cast<int64_t>(stalled.size());
  }
}

void WriteClock::Cut(std::vector<StalledCall>& stalled) const {
  const absl::Status status = absl::DeadlineExceededError(
      absl::StrCat("the client has read nothing for ", ToSeconds(timeout_),
                   " s of what it was sent (server.write_timeout)"));
  std::map<std::string, int64_t> calls;  // of each client
  for (const StalledCall& call : stalled) ++calls[call.peer()];
  for (const auto& [peer, count] : calls) {
    Log(LogLevel::warn, "client does not read: its calls are cut",
        {{"peer", peer}, {"calls", count}});
  }
  for (StalledCall& call : stalled) call.Cut(status);
}

}  // namespace memod
