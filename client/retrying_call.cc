#include "memod/client/retrying_call.h"

#include <google/protobuf/message_lite.h>
#include <grpcpp/impl/call_op_set.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include <utility>

#include "memod/client/session_keeper.h"

namespace memod {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;
using grpc::internal::CallOpRecvMessage;
using grpc::internal::CallOpSetInterface;

// From Make to Watched, which CreateCall of a channel lies between: gRPC does not tell who
// intercepts a call.
thread_local RetryingCall* being_made = nullptr;

// The part of `ops` that receives a message of the type T; null if they are for another.
template <typename T>
CallOpRecvMessage<T>* Receiving(CallOpSetInterface* ops) {
  return dynamic_cast<CallOpRecvMessage<T>*>(ops);
}

// What generated stubs receive, and what generic ones do. A ClientUnaryReactor's operations do not
// say their type.
using Message = google::protobuf::MessageLite;

bool CanReceive(CallOpSetInterface* ops) {
  return Receiving<Message>(ops) != nullptr || Receiving<grpc::ByteBuffer>(ops) != nullptr;
}

void Receive(CallOpSetInterface* ops, void* response, grpc::ByteBuffer bytes) {
  if (auto* const message = Receiving<Message>(ops)) {
    message->got_message =
        grpc::SerializationTraits<Message>::Deserialize(&bytes, static_cast<Message*>(response))
            .ok();
  } else if (auto* const generic = Receiving<grpc::ByteBuffer>(ops)) {
    static_cast<grpc::ByteBuffer*>(response)->Swap(&bytes);
    generic->got_message = true;
  }
}

}  // namespace

grpc::experimental::Interceptor* RetryingCall::Make(std::weak_ptr<SessionKeeper> keeper,
                                                    grpc::experimental::ClientRpcInfo* info) {
  if (info->type() != grpc::experimental::ClientRpcInfo::Type::UNARY) return nullptr;
  return being_made = new RetryingCall(std::move(keeper), info);
}

grpc::internal::Call RetryingCall::Watched(const grpc::internal::Call& made) {
  RetryingCall* const hook = std::exchange(being_made, nullptr);
  if (hook == nullptr) return made;
  return grpc::internal::Call(made.call(), hook, made.cq(), made.client_rpc_info());
}

void RetryingCall::PerformOpsOnCall(CallOpSetInterface* ops, grpc::internal::Call* call) {
  ops_ = ops;
  ops->FillOps(call);
}

void RetryingCall::Intercept(InterceptorBatchMethods* methods) {
  if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_CANCEL)) {
    absl::MutexLock lock(&mutex_);
    cancelled_ = true;
    if (retry_ != nullptr) retry_->Cancel();
  } else if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_STATUS)) {
    if (HoldBack(methods)) return;
  } else {
    OnSend(methods);
  }
  methods->Proceed();
}

void RetryingCall::OnSend(InterceptorBatchMethods* methods) {
  using Point = InterceptionHookPoints;
  if (methods->QueryInterceptionHookPoint(Point::PRE_SEND_INITIAL_METADATA)) {
    metadata_ = methods->GetSendInitialMetadata();
  }
  if (methods->QueryInterceptionHookPoint(Point::PRE_SEND_MESSAGE)) {
    request_ = *methods->GetSerializedSendMessage();
  }
  if (void* const response = methods->GetRecvMessage()) response_ = response;
}

bool RetryingCall::HoldBack(InterceptorBatchMethods* methods) {
  const grpc::Status& failure = *methods->GetRecvStatus();
  if (failure.ok() || metadata_ == nullptr || response_ == nullptr || !CanReceive(ops_) ||
      !WasNotComputed(failure, *methods->GetRecvTrailingMetadata(),
                      context_->debug_error_string())) {
    return false;
  }
  const auto retry = std::make_shared<Retry>(
      keeper_, Retry::Call{method_, *metadata_, std::move(request_), context_}, failure);
  {
    absl::MutexLock lock(&mutex_);
    retry_ = retry;
    if (cancelled_) retry->Cancel();
  }
  // The context, and this with it, may go as soon as there is an answer.
  retry->Start([this, methods](Retry::Answer answer) { Answer(methods, std::move(answer)); });
  return true;
}

void RetryingCall::Answer(InterceptorBatchMethods* methods, Retry::Answer answer) {
  *methods->GetRecvStatus() = answer.status;
  answered_ = std::move(answer.context);
  if (answered_ != nullptr) {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      *methods->GetRecvInitialMetadata() = answered_->GetServerInitialMetadata();
    }
    *methods->GetRecvTrailingMetadata() = answered_->GetServerTrailingMetadata();
  }
  if (answer.status.ok()) Receive(ops_, response_, std::move(answer.response));
  methods->Proceed();  // the caller may destroy this now
}

}  // namespace memod
