// A program that a test runs beside itself.
#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace memod {

// Killed at the latest when this goes, and its stdin then ends. Not thread-safe.
class Process {
 public:
  // `environment`: "NAME=value" entries, nothing else is inherited.
  explicit Process(std::vector<std::string> command, std::vector<std::string> environment = {}) {
    int in[2], out[2], err[2];
    for (int* ends : {in, out, err}) {
      if (pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category());
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_adddup2(&actions, err[1], 2);
    const int error = posix_spawn(&pid_, command[0].c_str(), &actions, nullptr,
                                  Pointers(command).data(), Pointers(environment).data());
    posix_spawn_file_actions_destroy(&actions);
    for (const int end : {in[0], out[1], err[1]}) close(end);
    in_ = in[1];
    out_ = fdopen(out[0], "r");
    err_ = fdopen(err[0], "r");
    if (error != 0) throw std::system_error(error, std::generic_category(), command[0]);
  }
  ~Process() {
    if (!waited_) {
      Kill(SIGKILL);
      Wait();
    }
    EndInput();
    fclose(out_);
    fclose(err_);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Without its end; empty at the end of the output.
  std::string ReadLine() {
    std::string line;
    for (int c = fgetc(out_); c != EOF && c != '\n'; c = fgetc(out_)) line += static_cast<char>(c);
    return line;
  }
  // All that is still to come.
  std::string ReadOutput() { return ReadAll(out_); }
  std::string ReadErrors() { return ReadAll(err_); }

  void WriteInput(const std::string& text) {
    if (write(in_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
      throw std::system_error(errno, std::generic_category(), "write");
    }
  }
  void EndInput() {
    if (in_ >= 0) close(in_);
    in_ = -1;
  }

  void Kill(int signal) { kill(pid_, signal); }
  // Its exit code, or minus the signal that ended it.
  int Wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    waited_ = true;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  static std::vector<char*> Pointers(std::vector<std::string>& strings) {
    std::vector<char*> pointers;
    for (std::string& string : strings) pointers.push_back(string.data());
    pointers.push_back(nullptr);
    return pointers;
  }
  static std::string ReadAll(FILE* file) {
    std::string text;
    for (int c = fgetc(file); c != EOF; c = fgetc(file)) text += static_cast<char>(c);
    return text;
  }

  pid_t pid_ = 0;
  bool waited_ = false;
  int in_ = -1;
  FILE* out_ = nullptr;
  FILE* err_ = nullptr;
};

}  // namespace memod
