// A session's state from what is typed on a command line.
#pragma once

#include <google/protobuf/any.pb.h>
#include <grpcpp/channel.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace memod {

struct StateText {
  std::string type;  // "memo.examples.v1.SlowAdderState"
  std::string json;  // protobuf's JSON of it, or "@FILE"; empty: an empty message
  // "FIELD=VALUE" or "FIELD=@FILE", over what `json` says. VALUE is taken as it is for a field that
  // holds text or bytes, and as JSON for any other, or as a JSON string where it is none.
  std::vector<std::string> fields;
};

// Asks the server what the type looks like, by reflection.
//
// Errors: INVALID_ARGUMENT: the text is not such a state, or a file cannot be read. Any other is
// the server's: NOT_FOUND: it knows no such type; UNIMPLEMENTED: it offers no reflection.
absl::StatusOr<google::protobuf::Any> BuildState(const std::shared_ptr<grpc::Channel>& server,
                                                 const StateText& text, absl::Duration timeout);

}  // namespace memod
