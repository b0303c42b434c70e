// What gRPC keeps for its own templates that make calls. Internal to the library.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/impl/call.h>
#include <grpcpp/impl/channel_interface.h>
#include <grpcpp/impl/codegen/client_unary_call.h>

#include <string>

namespace memod {
class SessionChannel;
}

// One of these templates, for a type that nobody calls with.
template <>
class grpc::internal::BlockingUnaryCallImpl<memod::SessionChannel, memod::SessionChannel> {
 public:
  static Call CreateCall(ChannelInterface& on, const RpcMethod& method, ClientContext* context,
                         CompletionQueue* cq) {
    return on.CreateCall(method, context, cq);
  }
  static CompletionQueue* CallbackCQ(ChannelInterface& of) { return of.CallbackCQ(); }

  // Whether it has another call's deadline and cancellation, which it does not know itself.
  static bool IsChild(const ClientContext& context) {
    return context.propagate_from_call_ != nullptr;
  }
  static std::string AuthorityOf(const ClientContext& context) { return context.authority_; }
};

namespace memod {

using GrpcPrivate = grpc::internal::BlockingUnaryCallImpl<SessionChannel, SessionChannel>;

}  // namespace memod
