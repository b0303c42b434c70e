// Arguments of a command line that stand for something else. All errors are Misuse.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace memod {

// "@FILE": the file's bytes; "@-": all of stdin; anything else is itself.
absl::StatusOr<std::string> ReadArgument(const std::string& argument);

using Metadata = std::vector<std::pair<std::string, std::string>>;

// "name: value" or "name=value", as gRPC can send it: names in lower case, values of printable
// ASCII, or, of a name that ends in -bin, given in base64.
absl::StatusOr<Metadata> ParseMetadata(const std::vector<std::string>& entries);

}  // namespace memod
