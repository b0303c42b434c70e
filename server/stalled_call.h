// A call whose client has stopped reading, so that what was written to it does not leave.
#pragma once

#include <grpcpp/server_context.h>

#include <string>

#include "absl/status/status.h"

struct grpc_call;

namespace memod {

class StalledCall {
 public:
  // While a write of the call is under way. From then on it may end; this does not mind.
  explicit StalledCall(grpc::CallbackServerContext& context);
  ~StalledCall();
  StalledCall(StalledCall&& other) noexcept;
  StalledCall& operator=(StalledCall&&) = delete;

  std::string peer() const;

  // Ends it with this error, whatever was to be sent before it; its reactor sees that as it sees a
  // client that is gone. Not under a lock.
  void Cut(const absl::Status& status);

 private:
  grpc_call* call_;
};

}  // namespace memod
