// `memoctl forget` and `memoctl explain`: what is remembered for one call.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "memod/client/memoctl/commands.h"

namespace memod {

// A call, as typed.
struct DescribedCallText {
  std::string session_id;
  std::string method;                 // see ServerTypes::FindMethod
  std::string request;                // JSON, "@FILE", or "-" for stdin; empty: an empty message
  std::vector<std::string> metadata;  // see ParseMetadata
};

// Two calls of one method; in what is left out the other is as the first.
struct ExplainText {
  DescribedCallText call;
  std::optional<std::string> other_request;
  std::optional<std::string> other_session_id;
  std::optional<std::vector<std::string>> other_metadata;
};

// Both ask the data port for the types of the method, and return what is to be printed.
absl::StatusOr<std::string> ForgetCall(AdminPort& admin, const CommandOptions& options,
                                       const DescribedCallText& text);
absl::StatusOr<std::string> ExplainKey(AdminPort& admin, const CommandOptions& options,
                                       const ExplainText& text);

}  // namespace memod
