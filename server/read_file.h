// A whole file as text.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace memod {

// INVALID_ARGUMENT: it cannot be read; the message is the system's reason alone.
absl::StatusOr<std::string> ReadFile(const std::string& path);

}  // namespace memod
