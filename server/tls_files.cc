#include "memod/server/tls_files.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memod/server/logging.h"
#include "memod/server/read_file.h"

namespace memod {
namespace {

using Certificates = std::vector<std::shared_ptr<X509>>;

// `what` names the file by its key and path, as in "server.tls_key: /run/tls/key.pem".
std::string Named(const std::string& key, const std::string& path) {
  return absl::StrCat(key, ": ", path);
}

absl::Status Fault(const std::string& what, const std::string& fault) {
  return absl::InvalidArgumentError(absl::StrCat(what, ": ", fault));
}

absl::StatusOr<std::string> ReadPem(const std::string& path, const std::string& what) {
  auto text = ReadFile(path);
  return text.ok() ? text : Fault(what, std::string(text.status().message()));
}

std::shared_ptr<BIO> Reader(const std::string& pem) {
  return {BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free};
}

// Nobody is asked for a passphrase.
int NoPassphrase(char*, int, int, void*) { return 0; }

absl::StatusOr<Certificates> ParseCertificates(const std::string& pem, const std::string& what) {
  const auto reader = Reader(pem);
  Certificates certificates;
  ERR_clear_error();
  while (X509* each = PEM_read_bio_X509(reader.get(), nullptr, NoPassphrase, nullptr)) {
    certificates.emplace_back(each, X509_free);
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (!at_end) {
    return Fault(what, absl::StrCat("certificate ", certificates.size() + 1, " is broken"));
  }
  if (certificates.empty()) return Fault(what, "holds no certificate in PEM");
  return certificates;
}

absl::StatusOr<std::shared_ptr<EVP_PKEY>> ParseKey(const std::string& pem,
                                                   const std::string& what) {
  const auto reader = Reader(pem);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(reader.get(), nullptr, NoPassphrase, nullptr);
  ERR_clear_error();
  if (key == nullptr) return Fault(what, "holds no private key in PEM without a passphrase");
  return std::shared_ptr<EVP_PKEY>(key, EVP_PKEY_free);
}

std::shared_ptr<STACK_OF(X509)> ToStack(const Certificates& certificates, size_t from) {
  std::shared_ptr<STACK_OF(X509)> stack(
      sk_X509_new_null(), [](STACK_OF(X509) * all) { sk_X509_pop_free(all, X509_free); });
  for (size_t i = from; i < certificates.size(); ++i) {
    X509_up_ref(certificates[i].get());
    sk_X509_push(stack.get(), certificates[i].get());
  }
  return stack;
}

std::shared_ptr<X509_STORE> ToStore(const Certificates& certificates) {
  std::shared_ptr<X509_STORE> store(X509_STORE_new(), X509_STORE_free);
  for (const auto& each : certificates) X509_STORE_add_cert(store.get(), each.get());
  return store;
}

// What `material` says as text, decoded into it.
absl::Status Decode(const TlsPaths& paths, const TlsPaths& keys, TlsMaterial& material) {
  const std::string certificate = Named(keys.certificate, paths.certificate);
  const auto certificates = ParseCertificates(material.certificate, certificate);
  if (!certificates.ok()) return certificates.status();
  auto key = ParseKey(material.key, Named(keys.key, paths.key));
  if (!key.ok()) return key.status();
  material.leaf = certificates->front();
  material.chain = ToStack(*certificates, 1);
  material.private_key = *std::move(key);
  const bool fits = X509_check_private_key(material.leaf.get(), material.private_key.get()) == 1;
  ERR_clear_error();
  if (!fits) {
    return Fault(Named(keys.key, paths.key), absl::StrCat("is not the key of ", certificate));
  }
  if (paths.client_ca.empty()) return absl::OkStatus();
  const auto cas = ParseCertificates(material.client_ca, Named(keys.client_ca, paths.client_ca));
  if (!cas.ok()) return cas.status();
  material.client_cas = ToStore(*cas);
  return absl::OkStatus();
}

absl::StatusOr<TlsMaterial> ReadText(const TlsPaths& paths, const TlsPaths& keys) {
  TlsMaterial material;
  for (const auto& [path, key, text] :
       {std::tie(paths.certificate, keys.certificate, material.certificate),
        std::tie(paths.key, keys.key, material.key),
        std::tie(paths.client_ca, keys.client_ca, material.client_ca)}) {
    if (path.empty()) continue;
    auto read = ReadPem(path, Named(key, path));
    if (!read.ok()) return read.status();
    text = *std::move(read);
  }
  return material;
}

bool SameText(const TlsMaterial& a, const TlsMaterial& b) {
  return std::tie(a.certificate, a.key, a.client_ca) == std::tie(b.certificate, b.key, b.client_ca);
}

// "Nov 20 12:00:00 2027 GMT"
std::string Expiry(const X509* certificate) {
  const std::shared_ptr<BIO> out(BIO_new(BIO_s_mem()), BIO_free);
  ASN1_TIME_print(out.get(), X509_get0_notAfter(certificate));
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return {text, static_cast<size_t>(size)};
}

void LogUse(const TlsPaths& paths, const TlsPaths& keys, const TlsMaterial& material) {
  const bool expired = X509_cmp_current_time(X509_get0_notAfter(material.leaf.get())) < 0;
  Log(expired ? LogLevel::warn : LogLevel::info,
      expired ? "certificate has expired" : "certificate in use",
      {{"key", keys.certificate},
       {"file", paths.certificate},
       {"expires", Expiry(material.leaf.get())}});
}

}  // namespace

absl::StatusOr<TlsMaterial> ReadTlsMaterial(const TlsPaths& paths, const TlsPaths& keys) {
  auto material = ReadText(paths, keys);
  if (!material.ok()) return material;
  if (absl::Status status = Decode(paths, keys, *material); !status.ok()) return status;
  return material;
}

absl::Status CheckCertificates(const std::string& path, const std::string& key) {
  const std::string what = Named(key, path);
  const auto pem = ReadPem(path, what);
  return pem.ok() ? ParseCertificates(*pem, what).status() : pem.status();
}

absl::StatusOr<std::unique_ptr<TlsFiles>> TlsFiles::Read(const std::string& section,
                                                         const TlsPaths& paths) {
  const TlsPaths keys{section + ".tls_certificate", section + ".tls_key",
                      section + ".tls_client_ca"};
  auto material = ReadTlsMaterial(paths, keys);
  if (!material.ok()) return material.status();
  LogUse(paths, keys, *material);
  return std::unique_ptr<TlsFiles>(new TlsFiles(paths, keys, *std::move(material)));
}

TlsFiles::TlsFiles(TlsPaths paths, TlsPaths keys, TlsMaterial material)
    : paths_(std::move(paths)),
      keys_(std::move(keys)),
      material_(std::make_shared<const TlsMaterial>(std::move(material))) {}

std::shared_ptr<const TlsMaterial> TlsFiles::Current() {
  MutexLock lock(mutex_);
  auto now = ReadText(paths_, keys_);
  if (now.ok() && SameText(*now, *material_)) {
    fault_.clear();
    return material_;
  }
  absl::Status status = now.status();
  if (status.ok()) status = Decode(paths_, keys_, *now);
  if (status.ok()) {
    fault_.clear();
    material_ = std::make_shared<const TlsMaterial>(*std::move(now));
    LogUse(paths_, keys_, *material_);
  } else if (fault_ != status.message()) {
    fault_ = std::string(status.message());
    Log(LogLevel::warn, "TLS files are wrong, those from before stay in use", {{"fault", fault_}});
  }
  return material_;
}

}  // namespace memod
