// AdminService of memo/v1/admin.proto. Contains no policy.
//
// An answer may look at every session, which must not hold up an event thread that the data port
// shares, so it is made on a thread of its own. (Not the synchronous API: its threads would take
// part in polling the data port's sockets as well.)
#pragma once

#include "memo/v1/admin.grpc.pb.h"
#include "memod/server/admin.h"
#include "memod/server/compute_pool.h"

namespace memod {

class AdminService final : public memo::v1::AdminService::CallbackService {
 public:
  // `admin` outlives it.
  explicit AdminService(Admin& admin) : admin_(admin) {}

  grpc::ServerUnaryReactor* GetCacheInfo(
      grpc::CallbackServerContext* context,
      const memo::v1::AdminServiceGetCacheInfoRequest* request,
      memo::v1::AdminServiceGetCacheInfoResponse* response) override;
  grpc::ServerUnaryReactor* ClearCache(grpc::CallbackServerContext* context,
                                       const memo::v1::AdminServiceClearCacheRequest* request,
                                       memo::v1::AdminServiceClearCacheResponse* response) override;
  grpc::ServerUnaryReactor* Forget(grpc::CallbackServerContext* context,
                                   const memo::v1::AdminServiceForgetRequest* request,
                                   memo::v1::AdminServiceForgetResponse* response) override;
  grpc::ServerUnaryReactor* ExplainKey(grpc::CallbackServerContext* context,
                                       const memo::v1::ExplainKeyRequest* request,
                                       memo::v1::ExplainKeyResponse* response) override;
  grpc::ServerUnaryReactor* CloseSession(
      grpc::CallbackServerContext* context,
      const memo::v1::AdminServiceCloseSessionRequest* request,
      memo::v1::AdminServiceCloseSessionResponse* response) override;
  grpc::ServerUnaryReactor* ListSessions(grpc::CallbackServerContext* context,
                                         const memo::v1::ListSessionsRequest* request,
                                         memo::v1::ListSessionsResponse* response) override;
  grpc::ServerUnaryReactor* ListMethods(grpc::CallbackServerContext* context,
                                        const memo::v1::ListMethodsRequest* request,
                                        memo::v1::ListMethodsResponse* response) override;
  grpc::ServerUnaryReactor* ListUpstreams(grpc::CallbackServerContext* context,
                                          const memo::v1::ListUpstreamsRequest* request,
                                          memo::v1::ListUpstreamsResponse* response) override;
  grpc::ServerUnaryReactor* GetDebugState(grpc::CallbackServerContext* context,
                                          const memo::v1::GetDebugStateRequest* request,
                                          memo::v1::GetDebugStateResponse* response) override;

 private:
  // Answers with what `ask` returns, on the service's thread.
  grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context,
                                   absl::AnyInvocable<absl::Status()> ask);

  Admin& admin_;
  ComputePool thread_{{.threads = 1, .queue = 256, .max_depth = 1, .name = "of the admin port"}};
};

}  // namespace memod
