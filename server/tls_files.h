// Certificates and keys in PEM files: read, checked whether they fit together, and read again where
// they have changed. Keys are never in a message or the log.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memod/cache/mutex.h"
#include "memod/server/config.h"

namespace memod {

// What was in the files of one TlsPaths. Constant.
struct TlsMaterial {
  // As text.
  std::string certificate, key, client_ca;

  // The same, decoded.
  std::shared_ptr<X509> leaf;
  std::shared_ptr<STACK_OF(X509)> chain;  // those above the leaf
  std::shared_ptr<EVP_PKEY> private_key;
  std::shared_ptr<X509_STORE> client_cas;  // null: no client_ca
};

// `keys`: the files as the configuration's keys are called, as in {"server.tls_certificate", ...}.
//
// INVALID_ARGUMENT: a file cannot be read, holds no such thing in PEM, or the key is not the
// certificate's; which file, of which key.
absl::StatusOr<TlsMaterial> ReadTlsMaterial(const TlsPaths& paths, const TlsPaths& keys);

// INVALID_ARGUMENT: as above. `key`: of the file of certificates.
absl::Status CheckCertificates(const std::string& path, const std::string& key);

// Thread-safe.
class TlsFiles {
 public:
  // `section`: "server" or "admin", for messages. INVALID_ARGUMENT: as above.
  static absl::StatusOr<std::unique_ptr<TlsFiles>> Read(const std::string& section,
                                                        const TlsPaths& paths);

  // What is in the files now. Where that is not right, or not there, what was in them before, and a
  // warning is logged, once for each thing that is wrong. Reads a few small files.
  std::shared_ptr<const TlsMaterial> Current() ABSL_LOCKS_EXCLUDED(mutex_);

  bool wants_client_certificate() const { return !paths_.client_ca.empty(); }

 private:
  TlsFiles(TlsPaths paths, TlsPaths keys, TlsMaterial material);

  const TlsPaths paths_;
  const TlsPaths keys_;

  Mutex mutex_;
  std::shared_ptr<const TlsMaterial> material_ ABSL_GUARDED_BY(mutex_);
  std::string fault_ ABSL_GUARDED_BY(mutex_);  // that was last warned of; empty: none
};

}  // namespace memod
