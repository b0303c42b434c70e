// What tests/benchmark/run tells a program of this folder, and what it is told: options on the command
// line, JSON lines on standard output.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace memod::benchmark {

struct Options {
  std::vector<std::string> rows;  // of the suite's table, the figures of which are wanted
  int rounds = 15;                // pairs to measure, in turn
  double seconds = 1;             // for each side of a pair
  int server_cpu = 0;             // what is measured runs on this one alone
  int client_cpu = 1;             // and what measures it on this; the same where there is only one
  std::string peer;    // host:port of the other side's server, where the runner starts it
  pid_t peer_pid = 0;  // and its process
  std::string memod;   // host:port of memod's, likewise

  bool Wants(std::string_view row) const;
};

// Ends the program on what it does not understand.
Options ParseOptions(int argc, char** argv);

// The calling thread, and what it starts from now on, runs on this CPU alone.
void PinTo(int cpu);

// What a process has used so far, all of its threads.
double CpuSeconds(pid_t pid);

// One measured pair. `against` is whom `other` is of.
void PrintPair(std::string_view row, std::string_view figure, double memod, double other,
               std::string_view against);

// Memod's side of a pair of which tests/benchmark/run measures the other.
void PrintMemod(std::string_view row, std::string_view figure, double memod);

}  // namespace memod::benchmark
