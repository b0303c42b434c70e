// Why and how soon the process ends.
#pragma once

#include <atomic>
#include <csignal>
#include <semaphore>

#include "memod/cache/time.h"

namespace memod {

// The first SIGTERM or SIGINT stops the server: it drains, and the process has ended a second after
// that must be over, whatever hangs. One that comes while the server is still starting, which may
// wait for an upstream, ends the process at once: nothing is held for anybody yet. So does a later
// Ctrl-C, of whoever does not want to wait for the drain.
//
// There for good: its threads wait as long as the process lives. Thread-safe.
class StopSignal {
 public:
  // Before the process has another thread, so that every thread leaves the signals to this one.
  explicit StopSignal(Duration drain_timeout);

  // Stops as a signal does, but as a failure: the process ends with 1, so that whoever supervises it
  // starts it anew. `why` is logged, and is there for good. Only the first call counts, and none after
  // a signal.
  void Fail(const char* why);

  // The server is there. Returns, once it is to drain, what the process is to end with.
  int AwaitOnceStarted();

 private:
  [[noreturn]] void Run();

  const Duration drain_timeout_;
  sigset_t signals_;
  std::atomic<const char*> failure_ = nullptr;
  std::atomic<bool> starting_ = true;
  std::atomic<int> exit_code_ = 0;
  std::binary_semaphore come_{0};
};

}  // namespace memod
