// AdminService of memo/v1/admin.proto. Contains no policy. Synchronous: it may look at every
// session, which must not hold up an event thread of the data port.
#pragma once

#include "memo/v1/admin.grpc.pb.h"
#include "memod/server/admin.h"
#include "memod/server/grpc_status.h"

namespace memod {

class AdminService final : public memo::v1::AdminService::Service {
 public:
  // `admin` outlives it.
  explicit AdminService(Admin& admin) : admin_(admin) {}

  grpc::Status GetCacheInfo(grpc::ServerContext* context,
                            const memo::v1::AdminServiceGetCacheInfoRequest* request,
                            memo::v1::AdminServiceGetCacheInfoResponse* response) override {
    return ToGrpcStatus(admin_.GetCacheInfo(*request, response), *context);
  }
  grpc::Status ClearCache(grpc::ServerContext* context,
                          const memo::v1::AdminServiceClearCacheRequest* request,
                          memo::v1::AdminServiceClearCacheResponse* response) override {
    return ToGrpcStatus(admin_.ClearCache(*request, response), *context);
  }
  grpc::Status CloseSession(grpc::ServerContext* context,
                            const memo::v1::AdminServiceCloseSessionRequest* request,
                            memo::v1::AdminServiceCloseSessionResponse* response) override {
    return ToGrpcStatus(admin_.CloseSession(*request, response), *context);
  }
  grpc::Status ListSessions(grpc::ServerContext* context,
                            const memo::v1::ListSessionsRequest* request,
                            memo::v1::ListSessionsResponse* response) override {
    return ToGrpcStatus(admin_.ListSessions(*request, response), *context);
  }
  grpc::Status ListMethods(grpc::ServerContext* context,
                           const memo::v1::ListMethodsRequest* request,
                           memo::v1::ListMethodsResponse* response) override {
    return ToGrpcStatus(admin_.ListMethods(*request, response), *context);
  }

 private:
  Admin& admin_;
};

}  // namespace memod
