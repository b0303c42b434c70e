#include "memod/server/config_listeners.h"

#include "absl/strings/str_cat.h"
#include "memod/server/config_values.h"

namespace memod {
namespace {

using Labels = std::map<std::string, std::string>;
using Faults = std::vector<std::string>;

// A certificate and its key come together, and a client CA with them.
void CheckTls(const std::string& section, const TlsPaths& tls, const Labels& labels,
              Faults& faults) {
  const std::string certificate = section + ".tls_certificate", key = section + ".tls_key";
  const auto check = [&](const std::string& given, const std::string& path,
                         const std::string& missing, bool is_missing) {
    if (path.empty() || !is_missing) return;
    faults.push_back(absl::StrCat(labels.at(given), ": got ", Shown(path), " without ", missing,
                                  "; want ", certificate, " and ", key, " with it"));
  };
  check(certificate, tls.certificate, key, tls.key.empty());
  check(key, tls.key, certificate, tls.certificate.empty());
  check(section + ".tls_client_ca", tls.client_ca, certificate,
        tls.certificate.empty() && tls.key.empty());
}

void CheckPlaintext(const std::string& section, const std::string& key, const std::string& address,
                    const Labels& labels, Faults& faults) {
  if (address.empty() || IsLoopback(address)) return;
  faults.push_back(absl::StrCat(labels.at(key), ": got ", Shown(address),
                                ", plaintext beyond loopback; want a loopback address, ", section,
                                ".tls_certificate and ", section, ".tls_key, or ", section,
                                ".insecure_allow_remote = true where everyone on the network may ",
                                "call"));
}

}  // namespace

std::vector<std::string> ListenerFaults(const Config& config, const Labels& labels,
                                        const std::set<std::string>& refused) {
  Faults faults;
  const auto check = [&](const std::string& section, const auto& values, const Labels& addresses) {
    const TlsPaths& tls = values.tls;
    const bool known =
        !refused.count(section + ".tls_certificate") && !refused.count(section + ".tls_key");
    if (!known) return;
    CheckTls(section, tls, labels, faults);
    const bool allowed = values.insecure_allow_remote || !tls.certificate.empty() ||
                         refused.count(section + ".insecure_allow_remote") > 0;
    if (allowed) return;
    for (const auto& [key, address] : addresses) {
      CheckPlaintext(section, key, address, labels, faults);
    }
  };
  check("server", config.server, {{"server.listen", config.server.listen}});
  check("admin", config.admin,
        {{"admin.listen", config.admin.listen}, {"admin.http", config.admin.http}});
  return faults;
}

std::vector<std::string> UpstreamTlsFaults(const UpstreamConfig& upstream) {
  Faults faults;
  const auto half = [&](const char* given, const std::string& path, const char* missing,
                        bool is_missing) {
    if (path.empty() || !is_missing) return;
    faults.push_back(absl::StrCat(upstream.where, ": upstream.", given, ": got ", Shown(path),
                                  " without upstream.", missing, "; want both of them, or none"));
  };
  half("tls_certificate", upstream.tls_certificate, "tls_key", upstream.tls_key.empty());
  half("tls_key", upstream.tls_key, "tls_certificate", upstream.tls_certificate.empty());
  UpstreamConfig left_out = upstream;
  left_out.tls.reset();
  if (left_out.uses_tls() && !upstream.uses_tls()) {
    faults.push_back(absl::StrCat(upstream.where, ": upstream.tls: got false beside other keys of ",
                                  "tls_...; want true, or none of those"));
  }
  return faults;
}

}  // namespace memod
