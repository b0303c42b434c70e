// What is known of upstreams' methods and messages: when memod starts, and while it runs.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "memod/server/method_policies.h"
#include "memod/server/method_table.h"
#include "memod/server/upstreams.h"

namespace memod {

// What is known without asking anybody, once all is checked that needs no more.
// INVALID_ARGUMENT: as LoadDescriptorSets and CheckedPolicies say.
absl::StatusOr<UpstreamFiles> CheckedDescriptorSets(const Config& config, const Registry& registry);

// The same and, where the configuration needs more, what upstreams say by reflection: waits for
// that, ten seconds at the most.
// UNAVAILABLE: an upstream does not say; which, why, and what helps.
absl::StatusOr<UpstreamFiles> KnownFiles(const Config& config, const Registry& registry,
                                         const Upstreams& upstreams);

// Gives an upstream's methods the messages that its files describe, which CheckedPolicies has found
// right. Keys that are made of messages hold only as long as messages mean the same; so those that
// the upstream describes in another way, when it has connected anew, get keys of bytes, until it
// describes them as before. The methods outlive `types`.
//
// What is between its connection and what it says then, some milliseconds, is not told apart.
void DescribeMethods(const std::shared_ptr<const ProtoFiles>& files,
                     const std::vector<Method*>& methods, UpstreamTypes& types);

}  // namespace memod
