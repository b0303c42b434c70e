// What policies may not say, whoever says it: the code, the configuration, or one over the other.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "memod/cache/policy.h"

namespace memod {

// How a method will be remembered.
struct FinalPolicy {
  std::string method;      // "/pkg.Service/Method"
  std::string where;       // who says so, as in "memod.toml:12", "registered"
  std::string state_type;  // of the sessions that it is called on; empty in server scope
  Policy policy;
};

// INVALID_ARGUMENT: the message has a line for each thing that is wrong:
//   memod.toml:9: /a.B/D: forward: got "x-tenant", which key.metadata has too; want it in one
//       of them
//   memod.toml:9: /a.B/D: max_entries: got 5 where /a.B/C (registered), with the same cache
//       "prices", has 128; want them equal
//
// Methods called on sessions with the same type of state, or all in server scope, that name the
// same cache have it in common, so they agree in scope, max_entries and max_entries_total. Whether
// there are the fields of key_ignore is for MessageKey to say.
absl::Status CheckPolicies(const std::vector<FinalPolicy>& policies);

// What is wrong with remembering such an error, as in: want an error that ... Empty: nothing.
std::string NegativeFault(absl::StatusCode code);

}  // namespace memod
