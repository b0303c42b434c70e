// The network before an upstream: a port that passes bytes on to another, or goes wrong as told.
#pragma once

#include <atomic>
#include <list>
#include <mutex>
#include <string>
#include <thread>

namespace memod {

enum class Fault {
  kNone,
  kRefuse,   // nobody listens; the connections that are there are reset
  kReset,    // a connection is reset as soon as its client says something
  kGarbage,  // a connection is answered with bytes that are no HTTP/2
  kSilence,  // a connection is accepted, and nothing ever comes
  kFar,      // a connection is answered half a second late, once
};

// Thread-safe.
class Wire {
 public:
  // To a port of this machine.
  explicit Wire(int to);
  ~Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  // The same all the time.
  int port() const { return port_; }

  // What becomes of connections from now on.
  void Set(Fault fault);
  // Connections that are there are reset, answered with garbage, or stay while nothing that is sent
  // into them arrives any more.
  void Reset();
  void Garble();
  void Swallow();

 private:
  struct Connection {
    int client = -1;
    int server = -1;  // -1: of a fault
    std::atomic<bool> swallows = false;
    std::thread up, down;
  };

  void Accept(int listener);
  void Serve(int client);
  void StopListening();

  const int to_;
  int guard_ = -1;  // bound, so that the port stays ours while nobody listens
  int port_ = 0;

  std::mutex mutex_;  // guards what follows
  Fault fault_ = Fault::kNone;
  int listener_ = -1;
  std::thread acceptor_;
  std::list<Connection> connections_;
};

}  // namespace memod
