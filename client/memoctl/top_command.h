// `memoctl top`: a server's sessions and methods, live.
#pragma once

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "memod/client/memoctl/admin_port.h"
#include "memod/client/memoctl/commands.h"

namespace memod {

inline constexpr absl::Duration kMinInterval = absl::Milliseconds(100);
inline constexpr absl::Duration kMaxInterval = absl::Hours(1);

// On a terminal, until the user has seen enough. `once`, as JSON, or where there is no terminal:
// prints what happened during one interval.
//
// Errors: that of the first look at the server; later ones are shown.
absl::Status Top(AdminPort& admin, const CommandOptions& options, absl::Duration interval,
                 bool once);

}  // namespace memod
