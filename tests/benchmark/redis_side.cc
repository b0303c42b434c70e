#include "redis_side.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace memod::benchmark {
namespace {

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "Redis: %s\n", what.c_str());
  std::exit(1);
}

int PortOf(const std::string& address) {
  return std::atoi(address.substr(address.rfind(':') + 1).c_str());
}

int Connect(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    Fail("cannot be reached on port " + std::to_string(port));
  }
  return fd;
}

// SET of one of redis-benchmark's keys.
std::string Set(int key, int value_bytes) {
  char head[128];
  std::snprintf(head, sizeof(head), "*3\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$%d\r\n", key,
                value_bytes);
  return head + std::string(static_cast<size_t>(value_bytes), 'v') + "\r\n";
}

}  // namespace

RedisSide::RedisSide(const Options& options, int keys, int value_bytes)
    : options_(options), keys_(keys), value_bytes_(value_bytes) {
  if (options.peer.empty()) Fail("--peer is not given");
  const int fd = Connect(PortOf(options.peer));
  constexpr int kAtOnce = 100;  // so that neither side waits to be read
  for (int key = 0; key < keys;) {
    std::string commands;
    const int end = std::min(keys, key + kAtOnce);
    for (size_t expected = 5 * static_cast<size_t>(end - key); key < end; ++key) {
      commands += Set(key, value_bytes);
      if (key + 1 < end) continue;
      if (write(fd, commands.data(), commands.size()) != static_cast<ssize_t>(commands.size())) {
        Fail("does not read");
      }
      char answers[5 * kAtOnce];
      for (size_t got = 0; got < expected;) {
        const ssize_t n = read(fd, answers, expected - got);
        if (n <= 0 || answers[0] == '-') Fail("does not store");
        got += static_cast<size_t>(n);
      }
    }
  }
  close(fd);
}

Rate RedisSide::MeasureGets(double seconds) {
  const auto gets = static_cast<int64_t>(last_per_second_ * seconds);
  const std::string command = "taskset -c " + std::to_string(options_.client_cpu) +
                              " redis-benchmark -t get -P 64 -r " + std::to_string(keys_) + " -d " +
                              std::to_string(value_bytes_) + " -n " + std::to_string(gets) +
                              " --csv -p " + std::to_string(PortOf(options_.peer));
  const double cpu = CpuSeconds(options_.peer_pid);
  FILE* output = popen(command.c_str(), "r");
  double per_second = 0;
  for (char line[1024]; std::fgets(line, sizeof(line), output) != nullptr;) {
    std::sscanf(line, "\"GET\",\"%lf\"", &per_second);
  }
  if (pclose(output) != 0 || per_second == 0) Fail("redis-benchmark fails");
  last_per_second_ = per_second;
  return {per_second, static_cast<double>(gets) / (CpuSeconds(options_.peer_pid) - cpu)};
}

}  // namespace memod::benchmark
