// The channel that a session gives to its user's stubs. Internal to the library.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/impl/channel_interface.h>

#include <functional>
#include <memory>
#include <utility>

namespace memod {

// Makes each call on the channel that `present` returns just then, which the call keeps. So stubs
// stay when the session moves to another server.
class SessionChannel final : public grpc::ChannelInterface {
 public:
  using Present = std::function<std::shared_ptr<grpc::Channel>()>;

  // `any` outlives every call, and so do its callback threads.
  SessionChannel(std::shared_ptr<grpc::Channel> any, Present present)
      : any_(std::move(any)), present_(std::move(present)) {}

  grpc_connectivity_state GetState(bool try_to_connect) override;

 private:
  grpc::internal::Call CreateCall(const grpc::internal::RpcMethod& method,
                                  grpc::ClientContext* context, grpc::CompletionQueue* cq) override;
  void PerformOpsOnCall(grpc::internal::CallOpSetInterface* ops,
                        grpc::internal::Call* call) override;
  void* RegisterMethod(const char* method) override;
  void NotifyOnStateChangeImpl(grpc_connectivity_state last_observed, gpr_timespec deadline,
                               grpc::CompletionQueue* cq, void* tag) override;
  bool WaitForStateChangeImpl(grpc_connectivity_state last_observed,
                              gpr_timespec deadline) override;
  grpc::CompletionQueue* CallbackCQ() override;

  const std::shared_ptr<grpc::Channel> any_;
  const Present present_;
};

}  // namespace memod
