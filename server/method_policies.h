// How the methods will be remembered: the hosted ones as the code says and the configuration over
// it, those of upstreams as the configuration says.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "memod/server/config.h"
#include "memod/server/hosted_class.h"
#include "memod/server/policy_check.h"
#include "memod/server/proto_files.h"

namespace memod {

// What is known of the upstreams' services, in their order. Null: nothing.
using UpstreamFiles = std::vector<std::shared_ptr<const ProtoFiles>>;

// What their descriptor sets say.
// INVALID_ARGUMENT: one that cannot be read; where, which and why.
absl::StatusOr<UpstreamFiles> LoadDescriptorSets(const Config& config);

// Whether an upstream's methods cannot be memoized without knowing what they are.
bool NeedsFiles(const UpstreamConfig& upstream);

// Adds the methods that memoize_no_side_effects memoizes to those that are listed: in the order of
// their services and files, none that is listed, none of services that are not the upstream's.
// Those of upstreams of which nothing is known are left out.
Config WithImpliedMethods(Config config, const UpstreamFiles& files, const Registry& registry);

// Those of the hosted services in their order, then those of the upstreams in theirs.
//
// INVALID_ARGUMENT: the registry does not fit the .protos compiled in (Registry::Check); or the
// message has a line for each thing in the configuration that cannot be: a method that nobody
// hosts, another scope than the code's, an upstream's method that is not its own, policies that
// contradict one another (CheckPolicies), fields to ignore that are not there (MessageKey::Make), an
// upstream's method that is not unary or not there. What needs files that are not known is not
// checked.
absl::StatusOr<std::vector<FinalPolicy>> CheckedPolicies(const Config& config,
                                                         const UpstreamFiles& files,
                                                         const Registry& registry);

}  // namespace memod
