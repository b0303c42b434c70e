// The one place where an absl::Status becomes what gRPC sends, and the other way round.
#pragma once

#include <grpcpp/support/status.h>

#include <string_view>

#include "absl/status/status.h"
#include "memod/cache/metadata.h"

namespace memod {

// Code and message as they are. Payloads go out as grpc-status-details-bin, a google.rpc.Status
// whose details are Any{type_url: the payload's, value: its bytes}; what FromGrpcStatus made goes
// out as it came in.
grpc::Status ToGrpcStatus(const absl::Status& status);

// An upstream's error, with its details and trailers.
absl::Status FromGrpcStatus(const grpc::Status& status, const Metadata& trailers);
// Those of such an error; of any other none.
Metadata TrailersOf(const absl::Status& status);

// To the caller of a unary method whose message never came, or was over gRPC's limit, which gRPC
// then tells him instead.
inline grpc::Status NoRequest() {
  return {grpc::StatusCode::INTERNAL, "the call ended without a request message"};
}

// The word of an error that is memod's own (memo_error.h); empty for the application's. It goes out
// as the trailer `memo-error`.
std::string_view MemoErrorWord(const absl::Status& status);

// Status and trailers, for a grpc::CallbackServerContext or grpc::ServerContext.
template <typename ServerContext>
grpc::Status ToGrpcStatus(const absl::Status& status, ServerContext& context) {
  if (const std::string_view word = MemoErrorWord(status); !word.empty()) {
    context.AddTrailingMetadata("memo-error", std::string(word));
  }
  for (const auto& [name, value] : TrailersOf(status)) context.AddTrailingMetadata(name, value);
  return ToGrpcStatus(status);
}

}  // namespace memod
