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

}  // namespace

std::vector<std::string> NamesFor(const std::string& value, const std::vector<std::string>& words,
                                  std::string address) {
  if (const char* from = std::getenv("MEMOCTL_ADMIN"); from != nullptr) address = from;
  const auto option = std::find(words.begin(), words.end(), "--admin");
  if (option != words.end() && option + 1 != words.end()) address = *(option + 1);
  AdminPort admin(address, kPatience);
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
