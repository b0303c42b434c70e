#include "memod/server/tls.h"

#include <grpc/grpc_security.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace memod {
namespace {

using grpc::experimental::FileWatcherCertificateProvider;
using grpc::experimental::NoOpCertificateVerifier;
using grpc::experimental::TlsChannelCredentialsOptions;

// How often an upstream's files are looked at.
constexpr unsigned kRefreshSeconds = 1;

// By the part of gRPC's API that asks for certificates on each new connection. What its C++ API has
// instead reads them once (SslServerCredentials), or turns everybody away while a file is broken
// (FileWatcherCertificateProvider).
class ReloadingCredentials final : public grpc::ServerCredentials {
 public:
  explicit ReloadingCredentials(TlsFiles& files)
      : credentials_(grpc_ssl_server_credentials_create_with_options(
            grpc_ssl_server_credentials_create_options_using_config_fetcher(
                files.wants_client_certificate()
                    ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                    : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
                &Fetch, this))),
        files_(files) {}
  ~ReloadingCredentials() override { grpc_server_credentials_release(credentials_); }

  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  // On each new connection, and once before the first.
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config) {
    return static_cast<ReloadingCredentials*>(self)->Give(config);
  }

  grpc_ssl_certificate_config_reload_status Give(grpc_ssl_server_certificate_config** config) {
    MutexLock lock(mutex_);
    auto material = files_.Current();
    if (material == given_) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    const grpc_ssl_pem_key_cert_pair pair{material->key.c_str(), material->certificate.c_str()};
    // gRPC wants some here even if it is not to ask for client certificates.
    const std::string& roots =
        files_.wants_client_certificate() ? material->client_ca : material->certificate;
    *config = grpc_ssl_server_certificate_config_create(roots.c_str(), &pair, 1);
    given_ = std::move(material);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  grpc_server_credentials* const credentials_;
  TlsFiles& files_;

  Mutex mutex_;
  std::shared_ptr<const TlsMaterial> given_ ABSL_GUARDED_BY(mutex_);  // to gRPC, last
};

TlsPaths UpstreamPaths(const UpstreamConfig& upstream) {
  return {upstream.tls_certificate, upstream.tls_key, ""};
}

}  // namespace

absl::StatusOr<std::unique_ptr<ListenerTls>> ListenerTls::Make(const std::string& section,
                                                               const TlsPaths& paths) {
  if (paths.certificate.empty()) return nullptr;
  auto files = TlsFiles::Read(section, paths);
  if (!files.ok()) return files.status();
  return std::unique_ptr<ListenerTls>(new ListenerTls(*std::move(files)));
}

ListenerTls::ListenerTls(std::unique_ptr<TlsFiles> files)
    : files_(std::move(files)), credentials_(std::make_shared<ReloadingCredentials>(*files_)) {}

bool ListenerTls::SetUp(SSL_CTX& context) {
  SSL_CTX_set_min_proto_version(&context, TLS1_2_VERSION);
  // A session that is resumed would not be checked against the client CA of now.
  SSL_CTX_set_session_cache_mode(&context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(&context, SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(&context, 0);
  if (files_->wants_client_certificate()) {
    SSL_CTX_set_verify(&context, SSL_VERIFY_PEER, nullptr);
  }
  SSL_CTX_set_cert_cb(&context, &UseCurrent, files_.get());
  return true;
}

int ListenerTls::UseCurrent(SSL* connection, void* files) {
  const auto material = static_cast<TlsFiles*>(files)->Current();
  if (material->client_cas != nullptr) {
    SSL_set1_verify_cert_store(connection, material->client_cas.get());
  }
  return SSL_use_cert_and_key(connection, material->leaf.get(), material->private_key.get(),
                              material->chain.get(), /*override=*/1);
}

bool ListenerTls::IsKnown(const SSL& connection) const {
  return !files_->wants_client_certificate() || SSL_get0_peer_certificate(&connection) != nullptr;
}

std::shared_ptr<grpc::ChannelCredentials> UpstreamCredentials(const UpstreamConfig& upstream) {
  if (!upstream.uses_tls()) return grpc::InsecureChannelCredentials();
  TlsChannelCredentialsOptions options;
  if (!upstream.tls_ca.empty() || !upstream.tls_certificate.empty()) {
    options.set_certificate_provider(std::make_shared<FileWatcherCertificateProvider>(
        upstream.tls_key, upstream.tls_certificate, upstream.tls_ca, kRefreshSeconds));
  }
  if (!upstream.tls_ca.empty()) options.watch_root_certs();
  if (!upstream.tls_certificate.empty()) options.watch_identity_key_cert_pairs();
  return grpc::experimental::TlsCredentials(options);
}

std::shared_ptr<grpc::ChannelCredentials> HealthcheckCredentials(const TlsPaths& tls) {
  if (tls.certificate.empty()) return grpc::InsecureChannelCredentials();
  TlsChannelCredentialsOptions options;
  options.set_verify_server_certs(false);
  options.set_certificate_verifier(std::make_shared<NoOpCertificateVerifier>());
  options.set_check_call_host(false);
  if (!tls.client_ca.empty()) {
    options.set_certificate_provider(std::make_shared<FileWatcherCertificateProvider>(
        tls.key, tls.certificate, kRefreshSeconds));
    options.watch_identity_key_cert_pairs();
  }
  return grpc::experimental::TlsCredentials(options);
}

absl::Status CheckTlsFiles(const Config& config) {
  std::vector<std::string> faults;
  const auto add = [&](const absl::Status& status) {
    if (!status.ok()) faults.emplace_back(status.message());
  };
  const auto check = [&](const std::string& section, const TlsPaths& paths) {
    if (paths.certificate.empty()) return;
    add(ReadTlsMaterial(
            paths, {section + ".tls_certificate", section + ".tls_key", section + ".tls_client_ca"})
            .status());
  };
  check("server", config.server.tls);
  check("admin", config.admin.tls);
  for (const UpstreamConfig& upstream : config.upstreams) {
    const std::string section = upstream.where + ": upstream";
    check(section, UpstreamPaths(upstream));
    if (!upstream.tls_ca.empty()) add(CheckCertificates(upstream.tls_ca, section + ".tls_ca"));
  }
  return faults.empty() ? absl::OkStatus()
                        : absl::InvalidArgumentError(absl::StrJoin(faults, "\n"));
}

}  // namespace memod
