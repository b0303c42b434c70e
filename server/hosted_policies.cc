#include "memod/server/hosted_policies.h"

#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "memod/server/message_key.h"

namespace memod {
namespace {

const char* Registered(Scope scope) {
  switch (scope) {
    case Scope::kSession:
      return "\"session\": it is a method of a class whose sessions share nothing";
    case Scope::kState:
      return "\"state\": its class shares equal states";
    case Scope::kServer:
      return "\"server\": it is a function without an instance";
  }
  return "";
}

// What the code says of it.
FinalPolicy Hosted(const HostedService& service, const HostedMethod& method) {
  FinalPolicy policy{absl::StrCat("/", service.name, "/", method.name), "registered", "",
                     method.policy};
  // Code cannot tell that it left key_mode out.
  if (!method.policy.key_ignore.empty()) policy.policy.key_mode = KeyMode::kMessage;
  if (method.policy.scope == Scope::kServer) return policy;
  policy.state_type = service.state_type;
  if (service.shares_equal_states) policy.policy.scope = Scope::kState;
  return policy;
}

void Override(const MethodConfig& config, FinalPolicy& policy, std::vector<std::string>& errors) {
  policy.where = config.where;
  if (config.scope && *config.scope != policy.policy.scope) {
    errors.push_back(absl::StrCat(config.where, ": method.scope: want it left out, or ",
                                  Registered(policy.policy.scope), " (", policy.method, ")"));
  }
  policy.policy = config.Apply(policy.policy);
}

}  // namespace

absl::StatusOr<std::vector<FinalPolicy>> CheckedPolicies(const Config& config,
                                                         const Registry& registry) {
  if (absl::Status status = registry.Check(); !status.ok()) return status;
  std::map<std::string, const MethodConfig*> configured;
  for (const MethodConfig& method : config.methods) configured.emplace(method.name, &method);
  std::vector<std::string> errors;
  std::vector<FinalPolicy> policies;
  for (const auto& service : registry.services()) {
    for (const HostedMethod& method : service->methods) {
      FinalPolicy& policy = policies.emplace_back(Hosted(*service, method));
      const auto override = configured.extract(policy.method);
      if (!override.empty()) Override(*override.mapped(), policy, errors);
      const auto message = MessageKey::Make(*method.request, policy.policy.key_ignore);
      if (message.ok()) continue;
      for (const auto line : absl::StrSplit(message.status().message(), '\n')) {
        errors.push_back(absl::StrCat(policy.where, ": ", policy.method, ": key.ignore: ", line));
      }
    }
  }
  for (const auto& [name, method] : configured) {
    errors.push_back(absl::StrCat(method->where, ": no hosted method is called ", name));
  }
  if (absl::Status status = CheckPolicies(policies); !status.ok()) {
    errors.emplace_back(status.message());
  }
  if (!errors.empty()) return absl::InvalidArgumentError(absl::StrJoin(errors, "\n"));
  return policies;
}

}  // namespace memod
