// A gRPC server of memod on its address: what all of them have in common, and why one cannot listen.
#pragma once

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "memod/server/config.h"
#include "memod/server/tls.h"

namespace memod {

struct GrpcListener {
  std::unique_ptr<grpc::Server> server;
  int port;  // the one really bound; 0: a unix socket
};

struct GrpcAddress {
  std::string key;  // for messages: "server.listen"
  std::string address;
  const ListenerTls* tls;  // null: plaintext. Outlives the server.
};

// Starts what `builder` has got, on `where`; keepalive as `config` says.
// UNAVAILABLE: it cannot be listened on; which, and why.
absl::StatusOr<GrpcListener> Listen(grpc::ServerBuilder& builder, const GrpcAddress& where,
                                    const Config::Server& config);

}  // namespace memod
