// How memoctl connects to a server's two ports.
#pragma once

#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace memod {

// What the command line says of TLS. All empty: plaintext.
struct TlsText {
  bool on = false;          // also without any of the others
  std::string ca;           // PEM files; empty: the system's CAs
  std::string cert, key;    // empty: no certificate is shown
  std::string server_name;  // empty: the host of the address
  bool empty() const { return !on && (ca + cert + key + server_name).empty(); }
};

struct Transport {
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  grpc::ChannelArguments arguments;
};

// Misuse: a file cannot be read, or is no half of a pair.
absl::StatusOr<Transport> MakeTransport(const TlsText& text);

}  // namespace memod
