// Metadata between gRPC, memod and an upstream.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "memod/cache/metadata.h"

namespace memod {

using GrpcMetadata = std::multimap<grpc::string_ref, grpc::string_ref>;

// RESOURCE_EXHAUSTED: a caller sent more than server.max_metadata_bytes (memo-error: LIMIT), as HTTP/2
// counts: names, values and 32 bytes for each entry.
absl::Status CheckMetadata(const GrpcMetadata& sent, int64_t max_bytes);

// The entries under these names, the values of a name in the order in which they came.
Metadata Select(const GrpcMetadata& from, const std::vector<std::string>& names);

// All but what belongs to the connection, to gRPC (grpc-...) or to memod (memo-...).
void CopyMetadata(const GrpcMetadata& from,
                  absl::FunctionRef<void(std::string name, std::string value)> add);

// What a caller sent becomes what the upstream gets: metadata as above, and the deadline.
void CopyToUpstream(const grpc::CallbackServerContext& caller, grpc::ClientContext& upstream);

// What the upstream answered beside its messages becomes what the caller gets: before the first
// message, and at an OK's end. (Trailers of an error: FromGrpcStatus.)
void CopyInitialMetadata(const grpc::ClientContext& upstream, grpc::CallbackServerContext& caller);
void CopyTrailers(const grpc::ClientContext& upstream, grpc::CallbackServerContext& caller);

}  // namespace memod
