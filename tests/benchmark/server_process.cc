#include "server_process.h"

#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "runner.h"

extern char** environ;

namespace memod::benchmark {

ServerProcess::ServerProcess(const char* mode, int cpu, const char* argument) {
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) std::abort();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  char self[] = "/proc/self/exe";
  char* argv[] = {self, const_cast<char*>(mode), const_cast<char*>(argument), nullptr};
  cpu_set_t mine;
  if (sched_getaffinity(0, sizeof(mine), &mine) != 0) std::abort();
  if (cpu >= 0) PinTo(cpu);  // what is started inherits it
  if (posix_spawn(&pid_, self, &actions, nullptr, argv, environ) != 0) std::abort();
  if (sched_setaffinity(0, sizeof(mine), &mine) != 0) std::abort();
  posix_spawn_file_actions_destroy(&actions);
  close(in[0]);
  close(out[1]);
  stdin_ = in[1];
  FILE* lines = fdopen(out[0], "r");
  if (std::fscanf(lines, "%d", &port_) != 1) std::abort();
  std::fclose(lines);
}

ServerProcess::~ServerProcess() {
  close(stdin_);
  waitpid(pid_, nullptr, 0);
}

std::string ServerProcess::target() const { return "127.0.0.1:" + std::to_string(port_); }

void ServeUntilStopped(int port) {
  std::printf("%d\n", port);
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
}

}  // namespace memod::benchmark
