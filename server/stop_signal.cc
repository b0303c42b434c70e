#include "memod/server/stop_signal.h"

#include <pthread.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "absl/strings/str_cat.h"
#include "memod/server/logging.h"

namespace memod {
namespace {

constexpr int kFailed = 1;

// How much longer than drain_timeout the process may live.
constexpr Duration kGrace = std::chrono::seconds(1);
constexpr Duration kRepeats = std::chrono::seconds(1);
constexpr Duration kLastLine = std::chrono::milliseconds(100);

// Ends the process, whatever hangs. That may be whoever reads the log, so its last line is given no
// more than a moment.
[[noreturn]] void Leave(int code, const char* last_line) {
  auto& logged = *new std::binary_semaphore(0);
  std::thread([&logged, last_line] {
    Log(LogLevel::warn, last_line);
    logged.release();
  }).detach();
  [[maybe_unused]] const bool told = logged.try_acquire_for(kLastLine);
  std::_Exit(code);
}

void StartWatchdog(Duration limit, int code) {
  std::thread([limit, code] {
    std::this_thread::sleep_for(limit);
    Leave(code, "not stopped in time, leaving without what still runs");
  }).detach();
}

}  // namespace

StopSignal::StopSignal(Duration drain_timeout) : drain_timeout_(drain_timeout) {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGTERM);
  sigaddset(&signals_, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  std::thread([this] { Run(); }).detach();
}

void StopSignal::Fail(const char* why) {
  const char* first = nullptr;
  if (failure_.compare_exchange_strong(first, why)) kill(getpid(), SIGTERM);
}

int StopSignal::AwaitOnceStarted() {
  starting_ = false;
  come_.acquire();
  return exit_code_;
}

void StopSignal::Run() {
  int signal = 0;
  sigwait(&signals_, &signal);
  const bool starting = starting_;
  const char* const failure = failure_;  // what comes later does not change why it stops
  exit_code_ = failure != nullptr ? kFailed : 0;
  // Before the first line of the log, which may hang, too.
  StartWatchdog(starting ? kGrace : drain_timeout_ + kGrace, exit_code_);
  if (failure != nullptr) {
    Log(LogLevel::err, absl::StrCat("stopping, since ", failure));
  } else {
    Log(LogLevel::info, "stopping", {{"signal", signal == SIGTERM ? "SIGTERM" : "SIGINT"}});
  }
  if (starting) std::_Exit(exit_code_);
  come_.release();
  // Not SIGTERM: scripts repeat that until the process is gone. And the first Ctrl-C may come twice,
  // from the terminal and from a wrapper that hands it on.
  const Time repeats_until = Clock::now() + kRepeats;
  do {
    sigwait(&signals_, &signal);
  } while (signal != SIGINT || Clock::now() < repeats_until);
  Leave(kFailed, "interrupted, leaving at once");
}

}  // namespace memod
