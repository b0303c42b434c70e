#include "memod/client/memoctl/names.h"

#include <algorithm>
#include <cstdlib>
#include <set>

#include "absl/strings/strip.h"
#include "memod/client/memoctl/admin_port.h"
#include "memod/client/memoctl/commands.h"

namespace memod {
namespace {

using memo::v1::AdminService;

constexpr absl::Duration kPatience = absl::Milliseconds(500);

std::vector<std::string> SessionIds(AdminPort& admin) {
  std::vector<std::string> ids;
  // The first page: nobody picks one of more by Tab.
  const auto page = admin.Ask(&AdminService::Stub::ListSessions, memo::v1::ListSessionsRequest());
  if (!page.ok()) return ids;
  for (const auto& session : page->sessions()) ids.push_back(session.session_id());
  return ids;
}

template <typename NameOf>
std::vector<std::string> NamesOfMethods(AdminPort& admin, NameOf name_of) {
  std::set<std::string> names;
  const auto methods = admin.Ask(&AdminService::Stub::ListMethods, memo::v1::ListMethodsRequest());
  if (!methods.ok()) return {};
  for (const auto& method : methods->methods()) names.insert(name_of(method));
  names.erase("");
  return {names.begin(), names.end()};
}

// An option's value, as the words say it, or the environment.
std::string ValueOf(const std::string& option, const char* variable,
                    const std::vector<std::string>& words, const std::string& otherwise = "") {
  const auto word = std::find(words.begin(), words.end(), option);
  if (word != words.end() && word + 1 != words.end()) return *(word + 1);
  const char* value = std::getenv(variable);
  return value == nullptr ? otherwise : value;
}

TlsText TlsOf(const std::vector<std::string>& words) {
  TlsText tls;
  tls.on = std::find(words.begin(), words.end(), "--tls") != words.end() ||
           std::getenv("MEMOCTL_TLS") != nullptr;
  tls.ca = ValueOf("--tls-ca", "MEMOCTL_TLS_CA", words);
  tls.cert = ValueOf("--tls-cert", "MEMOCTL_TLS_CERT", words);
  tls.key = ValueOf("--tls-key", "MEMOCTL_TLS_KEY", words);
  tls.server_name = ValueOf("--tls-server-name", "MEMOCTL_TLS_SERVER_NAME", words);
  return tls;
}

}  // namespace

std::vector<std::string> NamesFor(const std::string& value, const std::vector<std::string>& words,
                                  const std::string& address) {
  const auto transport = MakeTransport(TlsOf(words));
  if (!transport.ok()) return {};
  AdminPort admin(ValueOf("--admin", "MEMOCTL_ADMIN", words, address), kPatience, *transport);
  if (value == "SESSION") return SessionIds(admin);
  if (value == "TYPE") {
    return NamesOfMethods(admin, [](const auto& method) { return method.state_type(); });
  }
  if (value != "METHOD") return {};
  // With or without the slash, as the user began.
  const bool slash = !words.empty() && words.back().rfind('/', 0) == 0;
  return NamesOfMethods(admin, [slash](const auto& method) {
    return slash ? method.method() : std::string(absl::StripPrefix(method.method(), "/"));
  });
}

}  // namespace memod
