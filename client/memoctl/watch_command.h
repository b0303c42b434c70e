// `memoctl watch`: what another command prints, again and again.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "memod/client/memoctl/admin_port.h"
#include "memod/client/memoctl/commands.h"

namespace memod {

// In place on a terminal, until the user has seen enough; else one after the other, until somebody
// ends it. An answer that fails is told instead of what it would have said.
//
// Errors: that of the very first answer.
absl::Status Watch(AdminPort& admin, const CommandOptions& options, absl::Duration interval,
                   const std::string& title,
                   const std::function<absl::StatusOr<std::string>()>& command);

}  // namespace memod
