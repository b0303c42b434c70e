#include "memod/server/stalled_call.h"

#include <grpc/grpc.h>

#include <utility>

namespace memod {

StalledCall::StalledCall(grpc::CallbackServerContext& context)
    : call_(context.c_call()), peer_(context.peer()) {
  grpc_call_ref(call_);
}

StalledCall::StalledCall(StalledCall&& other) noexcept
    : call_(std::exchange(other.call_, nullptr)), peer_(std::move(other.peer_)) {}

StalledCall::~StalledCall() {
  if (call_ != nullptr) grpc_call_unref(call_);
}

void StalledCall::Cut(const absl::Status& status) {
  const std::string message(status.message());
  // Unlike Finish, which waits for the write, and unlike TryCancel, which has no words.
  grpc_call_cancel_with_status(call_, static_cast<grpc_status_code>(status.code()), message.c_str(),
                               nullptr);
}

}  // namespace memod
