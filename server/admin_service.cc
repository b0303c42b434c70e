#include "memod/server/admin_service.h"

#include <utility>

#include "memod/server/grpc_status.h"

namespace memod {

using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

ServerUnaryReactor* AdminService::GetCacheInfo(
    CallbackServerContext* context, const memo::v1::AdminServiceGetCacheInfoRequest* request,
    memo::v1::AdminServiceGetCacheInfoResponse* response) {
  return Answer(context, [=, this] { return admin_.GetCacheInfo(*request, response); });
}

ServerUnaryReactor* AdminService::ClearCache(CallbackServerContext* context,
                                             const memo::v1::AdminServiceClearCacheRequest* request,
                                             memo::v1::AdminServiceClearCacheResponse* response) {
  return Answer(context, [=, this] { return admin_.ClearCache(*request, response); });
}

ServerUnaryReactor* AdminService::Forget(CallbackServerContext* context,
                                         const memo::v1::AdminServiceForgetRequest* request,
                                         memo::v1::AdminServiceForgetResponse* response) {
  return Answer(context, [=, this] { return admin_.Forget(*request, response); });
}

ServerUnaryReactor* AdminService::ExplainKey(CallbackServerContext* context,
                                             const memo::v1::ExplainKeyRequest* request,
                                             memo::v1::ExplainKeyResponse* response) {
  return Answer(context, [=, this] { return admin_.ExplainKey(*request, response); });
}

ServerUnaryReactor* AdminService::CloseSession(
    CallbackServerContext* context, const memo::v1::AdminServiceCloseSessionRequest* request,
    memo::v1::AdminServiceCloseSessionResponse* response) {
  return Answer(context, [=, this] { return admin_.CloseSession(*request, response); });
}

ServerUnaryReactor* AdminService::ListSessions(CallbackServerContext* context,
                                               const memo::v1::ListSessionsRequest* request,
                                               memo::v1::ListSessionsResponse* response) {
  return Answer(context, [=, this] { return admin_.ListSessions(*request, response); });
}

ServerUnaryReactor* AdminService::ListMethods(CallbackServerContext* context,
                                              const memo::v1::ListMethodsRequest* request,
                                              memo::v1::ListMethodsResponse* response) {
  return Answer(context, [=, this] { return admin_.ListMethods(*request, response); });
}

ServerUnaryReactor* AdminService::ListUpstreams(CallbackServerContext* context,
                                                const memo::v1::ListUpstreamsRequest*,
                                                memo::v1::ListUpstreamsResponse* response) {
  return Answer(context, [=, this] {
    *response = admin_.ListUpstreams();
    return absl::OkStatus();
  });
}

ServerUnaryReactor* AdminService::GetDebugState(CallbackServerContext* context,
                                                const memo::v1::GetDebugStateRequest*,
                                                memo::v1::GetDebugStateResponse* response) {
  return Answer(context, [=, this] {
    *response = admin_.GetDebugState();
    return absl::OkStatus();
  });
}

ServerUnaryReactor* AdminService::Answer(CallbackServerContext* context,
                                         absl::AnyInvocable<absl::Status()> ask) {
  ServerUnaryReactor* reactor = context->DefaultReactor();
  auto job = [=, ask = std::move(ask)](const absl::Status& refused) mutable {
    reactor->Finish(ToGrpcStatus(refused.ok() ? ask() : refused, *context));
  };
  thread_.Submit(std::move(job), [context] { return !context->IsCancelled(); });
  return reactor;
}

}  // namespace memod
