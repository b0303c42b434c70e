#include "memod/client/holding_stream.h"

#include <grpcpp/create_channel.h>

#include "memo/v1/session.grpc.pb.h"
#include "memod/client/grpc_status.h"

namespace memod {

using memo::v1::SessionService;

// When the last channel of a process goes, gRPC 1.51 joins its callback threads, on whichever
// thread that is; on one of them it would join itself. A stream that ends by itself can be what
// lets go of the last channel, on such a thread. So one channel, which is connected to nothing,
// takes hold of those threads by a call and stays.
void KeepCallbackThreads() {
  struct Hold {
    std::unique_ptr<SessionService::Stub> stub =
        SessionService::NewStub(grpc::CreateChannel("", nullptr));
    grpc::ClientContext context;
    memo::v1::GetCacheInfoRequest request;
    memo::v1::GetCacheInfoResponse response;
  };
  // Volatile, or the compiler drops what nobody reads, and it looks leaked to a leak checker.
  [[maybe_unused]] static Hold* const volatile hold = [] {
    auto* made = new Hold;
    made->stub->async()->GetCacheInfo(&made->context, &made->request, &made->response,
                                      [](grpc::Status) {});
    return made;
  }();
}

HoldingStream::End EndOf(const grpc::Status& status, const grpc::ClientContext& context) {
  if (status.ok()) return {absl::AbortedError("the server ended the session"), true};
  const std::string error = MemoErrorOf(context);
  return {FromGrpc(status), error == "SESSION_CLOSED" || error == "REPLACED"};
}

}  // namespace memod
