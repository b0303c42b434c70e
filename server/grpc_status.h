// The one place where an absl::Status becomes what gRPC sends.
#pragma once

#include <grpcpp/support/status.h>

#include <string_view>

#include "absl/status/status.h"

namespace memod {

// Code and message as they are. Payloads go out as grpc-status-details-bin, a google.rpc.Status
// whose details are Any{type_url: the payload's, value: its bytes}.
grpc::Status ToGrpcStatus(const absl::Status& status);

// The word of an error that is memod's own (memo_error.h); empty for the application's. It goes out
// as the trailer `memo-error`.
std::string_view MemoErrorWord(const absl::Status& status);

// Status and trailer, for a grpc::CallbackServerContext or grpc::ServerContext.
template <typename ServerContext>
grpc::Status ToGrpcStatus(const absl::Status& status, ServerContext& context) {
  if (const std::string_view word = MemoErrorWord(status); !word.empty()) {
    context.AddTrailingMetadata("memo-error", std::string(word));
  }
  return ToGrpcStatus(status);
}

}  // namespace memod
