#include "runner.h"

#include <sched.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

namespace memod::benchmark {

bool Options::Wants(std::string_view row) const {
  return rows.empty() || std::find(rows.begin(), rows.end(), row) != rows.end();
}

Options ParseOptions(int argc, char** argv) {
  Options options;
  CLI::App app("One benchmark of tests/benchmark/run; prints a JSON line for each measured pair.");
  app.add_option("--row", options.rows, "rows of the table, as in 1,3; all of the program's")
      ->delimiter(',');
  app.add_option("--rounds", options.rounds, "pairs to measure")->check(CLI::PositiveNumber);
  app.add_option("--seconds", options.seconds, "for each side of a pair")
      ->check(CLI::PositiveNumber);
  app.add_option("--server-cpu", options.server_cpu, "where servers run");
  app.add_option("--client-cpu", options.client_cpu, "where their clients run");
  app.add_option("--peer", options.peer, "host:port of the other side's server");
  app.add_option("--peer-pid", options.peer_pid, "its process");
  app.add_option("--memod", options.memod, "host:port of memod's server");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error));
  }
  if (std::thread::hardware_concurrency() < 2) options.client_cpu = options.server_cpu = 0;
  return options;
}

void PinTo(int cpu) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(cpu, &cpus);
  if (sched_setaffinity(0, sizeof(cpus), &cpus) == 0) return;
  std::perror("sched_setaffinity");
  std::exit(1);
}

double CpuSeconds(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) {
    std::fprintf(stderr, "no process %d\n", pid);
    std::exit(1);
  }
  std::istringstream fields(text.substr(name_end + 2));
  const std::vector<std::string> field{std::istream_iterator<std::string>(fields), {}};
  // utime and stime, counting from the state.
  return (std::stod(field[11]) + std::stod(field[12])) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

namespace {

int Size(std::string_view text) { return static_cast<int>(text.size()); }

}  // namespace

void PrintMemod(std::string_view row, std::string_view figure, double memod) {
  std::printf(R"({"row": "%.*s", "figure": "%.*s", "memod": %.9g})"
              "\n",
              Size(row), row.data(), Size(figure), figure.data(), memod);
  std::fflush(stdout);
}

void PrintPair(std::string_view row, std::string_view figure, double memod, double other,
               std::string_view against) {
  std::printf(
      R"({"row": "%.*s", "figure": "%.*s", "memod": %.9g, "other": %.9g, "against": "%.*s"})"
      "\n",
      Size(row), row.data(), Size(figure), figure.data(), memod, other, Size(against),
      against.data());
  std::fflush(stdout);
}

}  // namespace memod::benchmark
