// A session's state from what is typed on a command line.
#pragma once

#include <google/protobuf/any.pb.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "memod/client/memoctl/server_types.h"

namespace memod {

struct StateText {
  std::string type;  // "memo.examples.v1.SlowAdderState"
  std::string json;  // protobuf's JSON of it, or "@FILE"; empty: an empty message
  // "FIELD=VALUE" or "FIELD=@FILE", over what `json` says. VALUE is taken as it is for a field that
  // holds text or bytes, and as JSON for any other, or as a JSON string where it is none.
  std::vector<std::string> fields;
};

// Errors: Misuse: the text is not such a state, or a file cannot be read; those of ServerTypes.
absl::StatusOr<google::protobuf::Any> BuildState(ServerTypes& types, const StateText& text);

}  // namespace memod
