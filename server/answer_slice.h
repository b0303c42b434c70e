// What is remembered, as gRPC sends it: without a copy.
#pragma once

#include <grpcpp/support/slice.h>

#include <string_view>

#include "memod/cache/answer.h"

namespace memod {

// The message's stored bytes themselves. The slice holds a reference to the answer until gRPC has
// sent them.
inline grpc::Slice ToSlice(Answer::Ref answer) {
  const std::string_view bytes = answer->bytes();
  const Answer* held = answer.Release();
  return grpc::Slice(
      const_cast<char*>(bytes.data()), bytes.size(),
      [](void* a) { Answer::Ref::Adopt(static_cast<const Answer*>(a)); },
      const_cast<Answer*>(held));
}

}  // namespace memod
