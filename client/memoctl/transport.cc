#include "memod/client/memoctl/transport.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "memod/client/memoctl/argument.h"
#include "memod/client/memoctl/misuse.h"

namespace memod {
namespace {

// The text of a PEM file. gRPC says of one that it cannot use only that it cannot connect.
absl::StatusOr<std::string> ReadPem(const std::string& option, const std::string& path) {
  if (path.empty()) return "";
  auto text = ReadArgument("@" + path);
  if (!text.ok()) return text;
  if (!absl::StrContains(*text, "-----BEGIN ")) {
    return Misuse(absl::StrCat(option, ": ", path, " is no PEM file"));
  }
  return text;
}

}  // namespace

absl::StatusOr<Transport> MakeTransport(const TlsText& text) {
  Transport transport;
  if (text.empty()) return transport;
  if (text.cert.empty() != text.key.empty()) {
    return Misuse("--tls-cert and --tls-key go together: a certificate and its private key");
  }
  const auto ca = ReadPem("--tls-ca", text.ca);
  const auto cert = ReadPem("--tls-cert", text.cert);
  const auto key = ReadPem("--tls-key", text.key);
  for (const auto* read : {&ca, &cert, &key}) {
    if (!read->ok()) return read->status();
  }
  transport.credentials = grpc::SslCredentials({*ca, *key, *cert});
  if (!text.server_name.empty()) transport.arguments.SetSslTargetNameOverride(text.server_name);
  return transport;
}

}  // namespace memod
