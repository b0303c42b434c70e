// A server to be measured, as a process of its own: this very program, started once more.
#pragma once

#include <sys/types.h>

#include <string>

namespace memod::benchmark {

// Stops it when destroyed.
class ServerProcess {
 public:
  // `mode` is its first argument, and if given `argument` the second. It runs on this CPU alone
  // (negative: on any), and serves when this returns.
  ServerProcess(const char* mode, int cpu, const char* argument = nullptr);
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  std::string target() const;
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = 0;
  int port_ = 0;
  int stdin_ = -1;
};

// What that process does once it serves on `port`; returns when it is to stop.
void ServeUntilStopped(int port);

}  // namespace memod::benchmark
