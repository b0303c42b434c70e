#include "memod/client/session_channel.h"

#include "memod/client/grpc_private.h"
#include "memod/client/retrying_call.h"

namespace memod {

grpc_connectivity_state SessionChannel::GetState(bool try_to_connect) {
  return present_()->GetState(try_to_connect);
}

grpc::internal::Call SessionChannel::CreateCall(const grpc::internal::RpcMethod& method,
                                                grpc::ClientContext* context,
                                                grpc::CompletionQueue* cq) {
  return RetryingCall::Watched(GrpcPrivate::CreateCall(*present_(), method, context, cq));
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

grpc::CompletionQueue* SessionChannel::CallbackCQ() { return GrpcPrivate::CallbackCQ(*any_); }

}  // namespace memod
