#include "memod/server/grpc_listener.h"

#include <grpcpp/security/server_credentials.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "memod/server/config_values.h"

namespace memod {
namespace {

// A connection without any call is ended after this.
constexpr Duration kMaxIdle = std::chrono::minutes(5);

int Milliseconds(Duration d) {
  return static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(d).count());
}

void SetOptions(grpc::ServerBuilder& builder, const Config::Server& config) {
  // Two servers must not share a port silently.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // A silent client with a call, as a session's stream is one, is found after keepalive_time +
  // keepalive_timeout. One without is not asked: gRPC's clients in Python and other languages answer
  // no ping while they have none, and their next call would fail on the connection that was ended for
  // it. Such a connection is ended politely (GOAWAY), which costs no call.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(config.keepalive_time));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(config.keepalive_timeout));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, Milliseconds(kMaxIdle));
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // Clients ping as often as they like. Else one that does so without a call, every two hours at
  // most by gRPC's rule for the above, would lose its connection, and all its sessions with it.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  // Which nobody can ask: what it would count costs each call.
  builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 0);
  // A small compressed message can hold a huge one. With decompression off and identity the only
  // encoding, callers get a clean UNIMPLEMENTED.
  builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
}

// Whether somebody listens on a unix socket, whose file gRPC would silently put its own in place
// of.
bool IsTakenSocket(const std::string& address) {
  constexpr std::string_view kUnix = "unix:";
  sockaddr_un name{};
  if (!address.starts_with(kUnix)) return false;
  if (address.size() - kUnix.size() >= sizeof(name.sun_path)) return false;
  name.sun_family = AF_UNIX;
  address.copy(name.sun_path, sizeof(name.sun_path) - 1, kUnix.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool taken = connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0;
  close(fd);
  return taken;
}

// Why an address cannot be listened on, which gRPC does not tell: asks the system the same.
std::string ListenError(const std::string& address) {
  if (IsTakenSocket(address)) return absl::StrCat(": ", std::strerror(EADDRINUSE));
  const std::optional<HostPort> parsed = ParseHostPort(address);
  if (!parsed) return "";
  const std::string port = absl::StrCat(parsed->port);
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  if (const int error = getaddrinfo(parsed->host.c_str(), port.c_str(), &hints, &found);
      error != 0) {
    return absl::StrCat(": ", gai_strerror(error));
  }
  const int fd = socket(found->ai_family, SOCK_STREAM, 0);
  const bool bound = bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, 1) == 0;
  std::string error = bound ? "" : absl::StrCat(": ", std::strerror(errno));
  close(fd);
  freeaddrinfo(found);
  return error;
}

absl::Status CannotListen(const GrpcAddress& where) {
  return absl::UnavailableError(
      absl::StrCat(where.key, ": cannot listen on ", where.address, ListenError(where.address)));
}

}  // namespace

absl::StatusOr<GrpcListener> Listen(grpc::ServerBuilder& builder, const GrpcAddress& where,
                                    const Config::Server& config) {
  if (IsTakenSocket(where.address)) return CannotListen(where);
  SetOptions(builder, config);
  GrpcListener listener{nullptr, 0};
  const auto credentials =
      where.tls == nullptr ? grpc::InsecureServerCredentials() : where.tls->credentials();
  builder.AddListeningPort(where.address, credentials, &listener.port);
  listener.server = builder.BuildAndStart();
  if (listener.server == nullptr) return CannotListen(where);
  if (where.address.starts_with("unix:")) listener.port = 0;  // gRPC says 1
  return listener;
}

}  // namespace memod
