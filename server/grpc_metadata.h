// What a gRPC client sent beside its message.
#pragma once

#include <grpcpp/server_context.h>

#include <string>
#include <vector>

#include "memod/cache/metadata.h"

namespace memod {

// The entries under these names, the values of a name in the order in which they came.
inline Metadata ReadClientMetadata(const grpc::CallbackServerContext& context,
                                   const std::vector<std::string>& names) {
  Metadata metadata;
  for (const std::string& name : names) {
    const auto [begin, end] = context.client_metadata().equal_range(name);
    for (auto it = begin; it != end; ++it) {
      metadata.emplace_back(name, std::string(it->second.data(), it->second.size()));
    }
  }
  return metadata;
}

}  // namespace memod
