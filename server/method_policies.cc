#include "memod/server/method_policies.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "absl/algorithm/container.h"
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

void CheckMessage(const google::protobuf::Descriptor& type, const FinalPolicy& policy,
                  google::protobuf::MessageFactory* factory, std::vector<std::string>& errors) {
  const auto message = MessageKey::Make(type, policy.policy.key_ignore, factory);
  if (message.ok()) return;
  for (const auto line : absl::StrSplit(message.status().message(), '\n')) {
    errors.push_back(absl::StrCat(policy.where, ": ", policy.method, ": key.ignore: ", line));
  }
}

// Against what is known of its upstream. A service that is not described at all is taken on trust,
// as long as its messages need not be known.
void CheckDescribed(const FinalPolicy& policy, const ProtoFiles& files,
                    std::vector<std::string>& errors) {
  const auto method = files.FindMethod(policy.method);
  if (method.ok() && ((*method)->client_streaming() || (*method)->server_streaming())) {
    errors.push_back(absl::StrCat(policy.where, ": ", policy.method, ": want a unary method"));
  } else if (method.ok()) {
    CheckMessage(*(*method)->input_type(), policy, &files.factory(), errors);
  } else if (policy.policy.key_mode == KeyMode::kMessage ||
             files.FindService(std::string(ServiceOf(policy.method))) != nullptr) {
    errors.push_back(absl::StrCat(policy.where, ": ", policy.method,
                                  ": the upstream's descriptors have ", method.status().message()));
  }
}

bool IsServedBy(const UpstreamConfig& upstream, const Config& all, const Registry& registry,
                const std::string& service) {
  if (!upstream.services.empty()) return IsFor(upstream, service);
  return ServedHere(service, registry).empty() &&
         absl::c_none_of(all.upstreams, [&](const auto& other) { return IsFor(other, service); });
}

}  // namespace

absl::StatusOr<UpstreamFiles> LoadDescriptorSets(const Config& config) {
  UpstreamFiles all;
  std::vector<std::string> errors;
  for (const UpstreamConfig& upstream : config.upstreams) {
    all.emplace_back();
    if (upstream.descriptor_set.empty()) continue;
    auto files = ProtoFiles::Load(upstream.descriptor_set);
    if (files.ok()) {
      all.back() = *std::move(files);
    } else {
      errors.push_back(absl::StrCat(upstream.where, ": upstream.descriptor_set: got \"",
                                    upstream.descriptor_set, "\"; ", files.status().message()));
    }
  }
  if (!errors.empty()) return absl::InvalidArgumentError(absl::StrJoin(errors, "\n"));
  return all;
}

bool NeedsFiles(const UpstreamConfig& upstream) {
  return upstream.memoize_no_side_effects ||
         absl::c_any_of(upstream.methods, [](const MethodConfig& method) {
           return method.Apply(Policy{}).key_mode == KeyMode::kMessage;
         });
}

Config WithImpliedMethods(Config config, const UpstreamFiles& files, const Registry& registry) {
  for (size_t i = 0; i < config.upstreams.size(); ++i) {
    UpstreamConfig& upstream = config.upstreams[i];
    if (!upstream.memoize_no_side_effects || files[i] == nullptr) continue;
    std::set<std::string> listed;
    for (const MethodConfig& method : upstream.methods) listed.insert(method.name);
    for (const std::string& name : files[i]->services()) {
      const auto* service = files[i]->FindService(name);
      if (service == nullptr || !IsServedBy(upstream, config, registry, name)) continue;
      for (int m = 0; m < service->method_count(); ++m) {
        const auto& method = *service->method(m);
        MethodConfig implied = upstream.defaults;
        implied.name = absl::StrCat("/", name, "/", method.name());
        implied.where = upstream.where;
        if (method.client_streaming() || method.server_streaming()) continue;
        if (method.options().idempotency_level() !=
            google::protobuf::MethodOptions::NO_SIDE_EFFECTS) {
          continue;
        }
        if (listed.insert(implied.name).second) upstream.methods.push_back(std::move(implied));
      }
    }
  }
  return config;
}

absl::StatusOr<std::vector<FinalPolicy>> CheckedPolicies(const Config& config,
                                                         const UpstreamFiles& files,
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
      CheckMessage(*method.request, policy, google::protobuf::MessageFactory::generated_factory(),
                   errors);
    }
  }
  for (size_t i = 0; i < config.upstreams.size(); ++i) {
    const UpstreamConfig& upstream = config.upstreams[i];
    for (const std::string& service : upstream.services) {
      const std::string whose = ServedHere(service, registry);
      if (whose.empty()) continue;
      errors.push_back(
          absl::StrCat(upstream.where, ": upstream.services: got ", service, ", which is ", whose));
    }
    for (const MethodConfig& method : upstream.methods) {
      policies.push_back(OfUpstream(config, upstream, method, registry, errors));
      if (files[i] != nullptr) CheckDescribed(policies.back(), *files[i], errors);
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
