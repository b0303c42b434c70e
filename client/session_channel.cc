#include "memod/client/session_channel.h"

#include <grpcpp/impl/codegen/call.h>
#include <grpcpp/impl/codegen/client_unary_call.h>

#include "memod/client/retrying_call.h"

// Making a call on a channel is private to gRPC's templates that make calls. This is one of them,
// for a type that nobody calls with.
template <>
class grpc::internal::BlockingUnaryCallImpl<memod::SessionChannel, memod::SessionChannel> {
 public:
  static Call CreateCall(ChannelInterface& on, const RpcMethod& method, ClientContext* context,
                         CompletionQueue* cq) {
    return on.CreateCall(method, context, cq);
  }
  static CompletionQueue* CallbackCQ(ChannelInterface& of) { return of.CallbackCQ(); }
};

namespace memod {
namespace {

using Private = grpc::internal::BlockingUnaryCallImpl<SessionChannel, SessionChannel>;

}  // namespace

grpc_connectivity_state SessionChannel::GetState(bool try_to_connect) {
  return present_()->GetState(try_to_connect);
}

grpc::internal::Call SessionChannel::CreateCall(const grpc::internal::RpcMethod& method,
                                                grpc::ClientContext* context,
                                                grpc::CompletionQueue* cq) {
  return RetryingCall::Watched(Private::CreateCall(*present_(), method, context, cq));
}

// Calls perform their operations on the channel that made them: this is never one.
void SessionChannel::PerformOpsOnCall(grpc::internal::CallOpSetInterface* ops,
                                      grpc::internal::Call* call) {
  call->PerformOps(ops);
}

// A registration is of one channel; calls that have none go by their method's name.
void* SessionChannel::RegisterMethod(const char*) { return nullptr; }

void SessionChannel::NotifyOnStateChangeImpl(grpc_connectivity_state last_observed,
                                             gpr_timespec deadline, grpc::CompletionQueue* cq,
                                             void* tag) {
  present_()->NotifyOnStateChange(last_observed, deadline, cq, tag);
}

bool SessionChannel::WaitForStateChangeImpl(grpc_connectivity_state last_observed,
                                            gpr_timespec deadline) {
  return present_()->WaitForStateChange(last_observed, deadline);
}

grpc::CompletionQueue* SessionChannel::CallbackCQ() { return Private::CallbackCQ(*any_); }

}  // namespace memod
