// TLS: of memod's own listeners, of its connections to upstreams, and of its own health check.
#pragma once

#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memod/server/config.h"
#include "memod/server/tls_files.h"

namespace memod {

// How the listeners of a section encrypt. What is in the files when a connection is made is what it
// gets (see TlsFiles); connections that are up stay as they are. Outlives the servers that use it.
// Thread-safe.
class ListenerTls {
 public:
  // Null: `paths` are empty, the listeners are plaintext. INVALID_ARGUMENT: as TlsFiles says.
  static absl::StatusOr<std::unique_ptr<ListenerTls>> Make(const std::string& section,
                                                           const TlsPaths& paths);

  // For one gRPC server. With a client CA it turns away who has no certificate of it.
  const std::shared_ptr<grpc::ServerCredentials>& credentials() const { return credentials_; }

  // For an HTTP server. A client's certificate is only checked if it shows one: see IsKnown.
  bool SetUp(SSL_CTX& context);
  // Whether the client of this connection may see what only administrators may.
  bool IsKnown(const SSL& connection) const;

 private:
  explicit ListenerTls(std::unique_ptr<TlsFiles> files);
  static int UseCurrent(SSL* connection, void* files);

  const std::unique_ptr<TlsFiles> files_;
  const std::shared_ptr<grpc::ServerCredentials> credentials_;
};

// To connect to an upstream. Its files are looked at every second; while they are wrong new
// connections fail.
std::shared_ptr<grpc::ChannelCredentials> UpstreamCredentials(const UpstreamConfig& upstream);

// To ask this very machine's server.listen, with `tls`, how it is. Believes whoever answers, and
// tells it nothing; shows it the server's own certificate where it asks for one.
std::shared_ptr<grpc::ChannelCredentials> HealthcheckCredentials(const TlsPaths& tls);

// INVALID_ARGUMENT: files of TLS that are named are not right, a line for each; see TlsFiles.
absl::Status CheckTlsFiles(const Config& config);

}  // namespace memod
