#include "memod/server/stalled_call.h"

#include <grpc/grpc.h>
#include <grpc/support/alloc.h>

#include <utility>

namespace memod {

StalledCall::StalledCall(grpc::CallbackServerContext& context) : call_(context.c_call()) {
  grpc_call_ref(call_);
}

StalledCall::StalledCall(StalledCall&& other) noexcept
    : call_(std::exchange(other.call_, nullptr)) {}

StalledCall::~StalledCall() {
  if (call_ != nullptr) grpc_call_unref(call_);
}

std::string StalledCall::peer() const {
  char* const peer = grpc_call_get_peer(call_);
  std::string copy = peer;
  gpr_free(peer);
  return copy;
}

void StalledCall::Cut(const absl::Status& status) {
  const std::string message(status.message());
  // Unlike Finish, which waits for the write, and unlike TryCancel, which has no words.
  grpc_call_cancel_with_status(call_, static_cast<grpc_status_code>(status.code()), message.c_str(),
                               nullptr);
}

}  // namespace memod
