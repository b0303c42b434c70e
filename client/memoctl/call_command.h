// `memoctl call`: any unary method of the data port, JSON in and JSON out.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "memod/client/memoctl/commands.h"

namespace memod {

// What is typed.
struct CallText {
  std::string method;                 // see ServerTypes::FindMethod
  std::string request;                // JSON, "@FILE", or "-" for stdin; empty: an empty message
  std::vector<std::string> metadata;  // see ParseMetadata
  std::string control;                // `memo-control`; empty: none is sent
  // Whose call it is: of a session opened for it, by its state's type and fields, which ends with
  // it; else of the one whose handle is in a file; else of MEMO_SESSION in the environment.
  std::vector<std::string> open;
  std::string session_file;  // "@FILE" and "-" are understood as for a request, and FILE alone
  int repeat = 1;
};

// The answer goes to stdout, once as long as it stays the same; how each call went to stderr. As
// JSON, an object for each call, failed or not, goes to stdout.
//
// Errors: Misuse; that of the call, with its memo-error.
absl::Status CallMethod(const CommandOptions& options, const CallText& text);

}  // namespace memod
