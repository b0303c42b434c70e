#include "memod/client/retrying_call.h"

#include <google/protobuf/message_lite.h>
#include <grpcpp/impl/call_op_set.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include <utility>

#include "memod/client/grpc_private.h"
#include "memod/client/session_keeper.h"

namespace memod {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;
using grpc::internal::CallOpRecvMessage;
using grpc::internal::CallOpSetInterface;

// From Create to Watched, which CreateCall of a channel lies between: gRPC does not tell who
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

// In a program without RTTI an object has no type to ask for (Itanium C++ ABI, 2.5.2).
bool HasType(const CallOpSetInterface* ops) {
  return (*reinterpret_cast<const void* const* const*>(ops))[-1] != nullptr;
}

bool CanReceive(CallOpSetInterface* ops) {
  return HasType(ops) &&
         (Receiving<Message>(ops) != nullptr || Receiving<grpc::ByteBuffer>(ops) != nullptr);
}

// False: it cannot be parsed.
bool Receive(CallOpSetInterface* ops, void* response, grpc::ByteBuffer bytes) {
  if (auto* const generic = Receiving<grpc::ByteBuffer>(ops)) {
    static_cast<grpc::ByteBuffer*>(response)->Swap(&bytes);
    return generic->got_message = true;
  }
  return Receiving<Message>(ops)->got_message = grpc::SerializationTraits<Message>::Deserialize(
                                                    &bytes, static_cast<Message*>(response))
                                                    .ok();
}

}  // namespace

grpc::experimental::Interceptor* RetryingCall::Create(const std::weak_ptr<SessionKeeper>& keeper,
                                                      grpc::experimental::ClientRpcInfo* info) {
  if (info->type() != grpc::experimental::ClientRpcInfo::Type::UNARY) return nullptr;
  if (GrpcPrivate::IsChild(*info->client_context())) return nullptr;
  return being_made = new RetryingCall(keeper, info);
}

grpc::internal::Call RetryingCall::Watched(const grpc::internal::Call& made) {
  RetryingCall* const hook = std::exchange(being_made, nullptr);
  if (hook == nullptr || hook->info_ != made.client_rpc_info()) return made;
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
    request_.Clear();
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
  grpc::ClientContext* const context = info_->client_context();
  const grpc::Status& failure = *methods->GetRecvStatus();
  if (failure.ok() || metadata_ == nullptr || response_ == nullptr || !CanReceive(ops_))
    return false;
  const Again again =
      WhereAgain(failure, *methods->GetRecvTrailingMetadata(), context->debug_error_string());
  if (again == Again::kNowhere) return false;
  const auto keeper = keeper_.lock();
  if (keeper == nullptr || keeper->done()) return false;
  const auto retry = std::make_shared<Retry>(
      keeper_, Retry::Call{method_, *metadata_, std::move(request_), context}, again,
      failure.error_message());
  {
    absl::MutexLock lock(&mutex_);
    retry_ = retry;
    if (cancelled_) retry->Cancel();
  }
  // The context, and this with it, may go as soon as there is an answer.
  retry->Start(
      [this, methods](std::optional<Retry::Answer> answer) { Answer(methods, std::move(answer)); });
  return true;
}

void RetryingCall::Answer(InterceptorBatchMethods* methods, std::optional<Retry::Answer> answer) {
  if (answer.has_value()) {
    if (answer->status.ok() && !Receive(ops_, response_, std::move(answer->response))) {
      answer->status = grpc::Status(grpc::StatusCode::INTERNAL, "the response cannot be parsed");
    }
    *methods->GetRecvStatus() = answer->status;
    answered_ = std::move(answer->context);
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      *methods->GetRecvInitialMetadata() =
          answered_ == nullptr ? ReceivedMetadata() : answered_->GetServerInitialMetadata();
    }
    *methods->GetRecvTrailingMetadata() =
        answered_ == nullptr ? ReceivedMetadata() : answered_->GetServerTrailingMetadata();
  }
  methods->Proceed();  // the caller may destroy this now
}

}  // namespace memod
