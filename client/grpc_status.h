// gRPC's status as Abseil's: the same codes under the same numbers.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <string>

#include "absl/status/status.h"

namespace memod {

inline absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

// Of a call that has ended: which of memod's own errors it is, as in "SESSION_NOT_FOUND"; or empty.
inline std::string MemoErrorOf(const grpc::ClientContext& context) {
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto found = trailers.find("memo-error");
  return found == trailers.end() ? "" : std::string(found->second.data(), found->second.size());
}

}  // namespace memod
