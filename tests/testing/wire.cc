#include "memod/tests/testing/wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <string_view>
#include <system_error>
#include <utility>

namespace memod {
namespace {

const std::string kNoHttp2(64, '\xff');

constexpr std::chrono::milliseconds kFarAway(500);

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

int Check(int result) {
  if (result < 0) throw std::system_error(errno, std::generic_category());
  return result;
}

void SendAtOnce(int fd) {
  const int on = 1;
  Check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)));
}

int Bound(int port) {
  const int fd = Check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  Check(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
  const sockaddr_in address = Loopback(port);
  Check(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)));
  return fd;
}

int Connect(int port) {
  const int fd = Check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = Loopback(port);
  SendAtOnce(fd);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return fd;
  close(fd);
  return -1;
}

bool Send(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

// Until either side ends; then the other one does.
void Pass(int from, int to, const std::atomic<bool>& swallows) {
  char buffer[1 << 16];
  while (true) {
    const ssize_t got = recv(from, buffer, sizeof(buffer), 0);
    if (got <= 0) break;
    if (!swallows && !Send(to, {buffer, static_cast<size_t>(got)})) break;
  }
  shutdown(from, SHUT_RDWR);
  shutdown(to, SHUT_RDWR);
}

// At once, though others still read from it: connecting to nowhere ends a connection with an RST.
void ResetNow(int fd) {
  const sockaddr nowhere{.sa_family = AF_UNSPEC, .sa_data = {}};
  connect(fd, &nowhere, sizeof(nowhere));
}

}  // namespace

Wire::Wire(int to) : to_(to), guard_(Bound(0)) {
  sockaddr_in address{};
  socklen_t size = sizeof(address);
  Check(getsockname(guard_, reinterpret_cast<sockaddr*>(&address), &size));
  port_ = ntohs(address.sin_port);
  Set(Fault::kNone);
}

Wire::~Wire() {
  Set(Fault::kRefuse);
  for (Connection& connection : connections_) {
    if (connection.up.joinable()) connection.up.join();
    if (connection.down.joinable()) connection.down.join();
    close(connection.client);
    if (connection.server >= 0) close(connection.server);
  }
  close(guard_);
}

void Wire::Set(Fault fault) {
  {
    const std::lock_guard lock(mutex_);
    fault_ = fault;
    if (fault != Fault::kRefuse) {
      if (listener_ >= 0) return;
      listener_ = Bound(port_);
      Check(listen(listener_, SOMAXCONN));
      acceptor_ = std::thread([this, fd = listener_] { Accept(fd); });
      return;
    }
  }
  StopListening();
  Reset();
}

void Wire::StopListening() {
  std::thread acceptor;
  int listener = -1;
  {
    const std::lock_guard lock(mutex_);
    listener = std::exchange(listener_, -1);
    acceptor = std::move(acceptor_);
  }
  if (listener < 0) return;
  shutdown(listener, SHUT_RDWR);  // accept returns
  acceptor.join();
  close(listener);
}

void Wire::Accept(int listener) {
  while (true) {
    const int client = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) return;
    SendAtOnce(client);
    Serve(client);
  }
}

void Wire::Serve(int client) {
  const std::lock_guard lock(mutex_);
  Connection& connection = connections_.emplace_back();
  connection.client = client;
  switch (fault_) {
    case Fault::kNone:
    case Fault::kFar:
      connection.server = Connect(to_);
      connection.up = std::thread(
          [client, &connection] { Pass(client, connection.server, connection.swallows); });
      connection.down = std::thread([client, &connection, far = fault_ == Fault::kFar] {
        if (far) std::this_thread::sleep_for(kFarAway);
        Pass(connection.server, client, connection.swallows);
      });
      return;
    case Fault::kReset:
      connection.up = std::thread([=] {
        char byte = 0;
        recv(client, &byte, 1, 0);
        ResetNow(client);
      });
      return;
    case Fault::kGarbage:
      connection.up = std::thread([=] { Send(client, kNoHttp2); });
      return;
    case Fault::kRefuse:
    case Fault::kSilence:
      return;
  }
}

void Wire::Reset() {
  const std::lock_guard lock(mutex_);
  for (const Connection& connection : connections_) ResetNow(connection.client);
}

void Wire::Garble() {
  const std::lock_guard lock(mutex_);
  for (const Connection& connection : connections_) Send(connection.client, kNoHttp2);
}

void Wire::Swallow() {
  const std::lock_guard lock(mutex_);
  for (Connection& connection : connections_) connection.swallows = true;
}

}  // namespace memod
