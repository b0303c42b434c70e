// Two servers to compare, each a process of its own: a bare gRPC service as its documentation shows
// how to write a fast one, and memod hosting a class that answers the same.
#pragma once

#include <sys/types.h>

#include <string>

namespace memod::benchmark {

enum class EchoKind { kBare, kMemod };

// A message is its one field: a tag, its length and this.
constexpr int kKeyBytes = 14;  // makes a request of 16 bytes

// The length of the field that makes an answer of `message_bytes`.
int ValueBytes(int message_bytes);

// Listens on a port of loopback while this exists.
class EchoServer {
 public:
  // Answers messages of `answer_bytes` each. `cpu` is what it runs on alone; negative: on any.
  EchoServer(EchoKind kind, int answer_bytes, int cpu);
  ~EchoServer();
  EchoServer(const EchoServer&) = delete;
  EchoServer& operator=(const EchoServer&) = delete;

  std::string target() const;
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = 0;
  int port_ = 0;
  int stdin_ = -1;
};

// First thing in main: does not return in a process that an EchoServer has started.
void ServeIfTold(int argc, char** argv);

}  // namespace memod::benchmark
