#include "memod/server/method_policies.h"

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
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
  if (method.policy.scope == Scope::kServer) return policy;
  policy.state_type = service.state_type;
  if (service.shares_equal_states) policy.policy.scope = Scope::kState;
  return policy;
}

void Override(const MethodConfig& config, FinalPolicy& policy, std::vector<std::string>& errors) {
  policy.where = config.where;
  for (const auto& [key, given] : {std::pair("public", config.is_public.has_value()),
                                   {"without_session", config.pass_without_session.has_value()}}) {
    if (!given) continue;
    errors.push_back(absl::StrCat(config.where, ": method.", key,
                                  ": want it left out: it is for methods of an upstream, and ",
                                  policy.method, " is hosted"));
  }
  if (config.scope && *config.scope != policy.policy.scope) {
    errors.push_back(absl::StrCat(config.where, ": method.scope: want it left out, or ",
                                  Registered(policy.policy.scope), " (", policy.method, ")"));
  }
  policy.policy = config.Apply(policy.policy);
}

std::string_view ServiceOf(std::string_view method) {
  return method.substr(1, method.rfind('/') - 1);
}

// Who serves it here; empty: nobody. memod itself serves sessions, health and reflection.
std::string ServedHere(const std::string& service, const Registry& registry) {
  for (const char* own : {"memo.v1.", "grpc.health.v1.", "grpc.reflection."}) {
    if (service.starts_with(own)) return "memod's own";
  }
  for (const auto& hosted : registry.services()) {
    if (hosted->name == service) return "hosted here";
  }
  return "";
}

bool IsFor(const UpstreamConfig& upstream, const std::string& service) {
  const auto& services = upstream.services;
  return std::find(services.begin(), services.end(), service) != services.end();
}

FinalPolicy OfUpstream(const Config& all, const UpstreamConfig& upstream,
                       const MethodConfig& config, const Registry& registry,
                       std::vector<std::string>& errors) {
  FinalPolicy policy{config.name, config.where, "", config.Apply(Policy{})};
  policy.policy.scope = config.scope.value_or(Scope::kSession);
  const auto error = [&](const auto&... parts) {
    errors.push_back(absl::StrCat(config.where, ": upstream.method.", parts...));
  };
  const std::string service(ServiceOf(config.name));
  if (!upstream.services.empty() && !IsFor(upstream, service)) {
    error("name: got ", config.name, "; want a method of ", absl::StrJoin(upstream.services, ", "),
          " (upstream.services)");
  }
  for (const UpstreamConfig& other : all.upstreams) {
    if (&other == &upstream || !IsFor(other, service)) continue;
    error("name: got ", config.name, ", whose service is that of the upstream ", other.name, " (",
          other.where, "); want it there");
  }
  if (const std::string whose = ServedHere(service, registry); !whose.empty()) {
    error("name: got ", config.name, ", whose service is ", whose);
  }
  if (policy.policy.scope == Scope::kState) {
    error(
        "scope: got \"state\"; want \"session\" or \"server\": sessions have a state only for "
        "hosted classes");
  }
  if (policy.policy.key_mode == KeyMode::kMessage) {
    error(
        "key.mode: got \"message\", or key.ignore; want \"bytes\": an upstream's messages are not "
        "known here");
  }
  const auto& keyed = policy.policy.key_metadata;
  const bool by_caller = std::find(keyed.begin(), keyed.end(), "authorization") != keyed.end();
  if (policy.policy.scope == Scope::kServer && !by_caller && !config.is_public.value_or(false)) {
    error(
        "scope: got \"server\", where an answer goes to everybody; want \"authorization\" in "
        "upstream.method.key.metadata, or upstream.method.public = true where answers are the "
        "same for all");
  }
  return policy;
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
      if (override.empty()) {
        policy.policy = MethodConfig().Apply(policy.policy);
      } else {
        Override(*override.mapped(), policy, errors);
      }
      const auto message = MessageKey::Make(*method.request, policy.policy.key_ignore);
      if (message.ok()) continue;
      for (const auto line : absl::StrSplit(message.status().message(), '\n')) {
        errors.push_back(absl::StrCat(policy.where, ": ", policy.method, ": key.ignore: ", line));
      }
    }
  }
  for (const UpstreamConfig& upstream : config.upstreams) {
    for (const std::string& service : upstream.services) {
      const std::string whose = ServedHere(service, registry);
      if (whose.empty()) continue;
      errors.push_back(
          absl::StrCat(upstream.where, ": upstream.services: got ", service, ", which is ", whose));
    }
    for (const MethodConfig& method : upstream.methods) {
      policies.push_back(OfUpstream(config, upstream, method, registry, errors));
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
