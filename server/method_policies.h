// How the methods will be remembered: the hosted ones as the code says and the configuration over
// it, those of upstreams as the configuration says.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "memod/server/config.h"
#include "memod/server/hosted_class.h"
#include "memod/server/policy_check.h"

namespace memod {

// Those of the hosted services in their order, then those of the upstreams in theirs.
//
// INVALID_ARGUMENT: the registry does not fit the .protos compiled in (Registry::Check); or the
// message has a line for each thing in the configuration that cannot be: a method that nobody
// hosts, another scope than the code's, an upstream's method that is not its own, policies that
// contradict one another (CheckPolicies), fields to ignore that are not there (MessageKey::Make).
absl::StatusOr<std::vector<FinalPolicy>> CheckedPolicies(const Config& config,
                                                         const Registry& registry);

}  // namespace memod
