// Errors that are the user's: exit code 2, where the server's are 1.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/cord.h"

namespace memod {

inline constexpr char kMisuseMark[] = "memoctl.misuse";

// INVALID_ARGUMENT, and found out before the server was asked to do anything.
inline absl::Status Misuse(const std::string& message) {
  absl::Status status = absl::InvalidArgumentError(message);
  status.SetPayload(kMisuseMark, absl::Cord());
  return status;
}

inline bool IsMisuse(const absl::Status& status) {
  return status.GetPayload(kMisuseMark).has_value();
}

}  // namespace memod
