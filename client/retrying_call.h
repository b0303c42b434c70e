// How gRPC's own unary calls get their retry. Internal to the library.
#pragma once

#include <grpcpp/impl/call.h>
#include <grpcpp/impl/call_hook.h>
#include <grpcpp/impl/call_op_set_interface.h>
#include <grpcpp/support/client_interceptor.h>

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "memod/client/retry.h"

namespace memod {

class SessionKeeper;

// A unary call as the stub makes it. Its answer is held back if it can be made again, and replaced by
// that of the retry. gRPC owns it until the call's context goes.
//
// An interceptor may hold an answer back and change its status, but it cannot say that there is a
// message after all; so it is called upon for the call's operations as well, as channels are.
class RetryingCall final : public grpc::experimental::Interceptor, public grpc::internal::CallHook {
 public:
  // What a channel's interceptor factory returns: null for calls that are not unary.
  static grpc::experimental::Interceptor* Make(std::weak_ptr<SessionKeeper> keeper,
                                               grpc::experimental::ClientRpcInfo* info);
  // A call that was just made on this thread, as its stub is to see it.
  static grpc::internal::Call Watched(const grpc::internal::Call& made);

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override;

 private:
  RetryingCall(std::weak_ptr<SessionKeeper> keeper, grpc::experimental::ClientRpcInfo* info)
      : keeper_(std::move(keeper)), context_(info->client_context()), method_(info->method()) {}

  void PerformOpsOnCall(grpc::internal::CallOpSetInterface* ops,
                        grpc::internal::Call* call) override;
  void OnSend(grpc::experimental::InterceptorBatchMethods* methods);
  // False: the answer stands.
  bool HoldBack(grpc::experimental::InterceptorBatchMethods* methods);
  void Answer(grpc::experimental::InterceptorBatchMethods* methods, Retry::Answer answer);

  const std::weak_ptr<SessionKeeper> keeper_;
  grpc::ClientContext* const context_;
  const std::string method_;  // a generic stub's name for it is gone when the call is made
  grpc::internal::CallOpSetInterface* ops_ = nullptr;  // the last
  std::multimap<std::string, std::string>* metadata_ = nullptr;
  grpc::ByteBuffer request_;
  void* response_ = nullptr;  // where it goes; of the type that `ops_` says

  absl::Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<Retry> retry_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<grpc::ClientContext> answered_;  // owns the metadata that the caller sees
};

}  // namespace memod
