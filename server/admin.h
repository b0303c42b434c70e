// What an administrator sees and does, whichever port asks. Thread-safe.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "memo/v1/admin.pb.h"
#include "memod/cache/session_table.h"
#include "memod/server/memory_pressure.h"
#include "memod/server/method_table.h"
#include "memod/server/upstreams.h"

namespace memod {

class Admin {
 public:
  using Gauges = std::function<memo::v1::ServerGauges()>;
  // All outlive it. `gauges` counts what is alive in the server, from any thread.
  Admin(SessionTable& sessions, const MethodTable& methods, const Upstreams& upstreams,
        Gauges gauges, const MemoryPressure& memory)
      : sessions_(sessions),
        methods_(methods),
        upstreams_(upstreams),
        gauges_(std::move(gauges)),
        memory_(memory) {}

  // As AdminService says. May take a while: it looks at every session.
  absl::Status GetCacheInfo(const memo::v1::AdminServiceGetCacheInfoRequest& request,
                            memo::v1::AdminServiceGetCacheInfoResponse* response) const;
  // What GetCacheInfo says of the whole server, but for the counters: they are those that no clear
  // resets.
  memo::v1::AdminServiceGetCacheInfoResponse History() const;
  absl::Status ClearCache(const memo::v1::AdminServiceClearCacheRequest& request,
                          memo::v1::AdminServiceClearCacheResponse* response);
  absl::Status Forget(const memo::v1::AdminServiceForgetRequest& request,
                      memo::v1::AdminServiceForgetResponse* response);
  absl::Status ExplainKey(const memo::v1::ExplainKeyRequest& request,
                          memo::v1::ExplainKeyResponse* response) const;
  absl::Status CloseSession(const memo::v1::AdminServiceCloseSessionRequest& request,
                            memo::v1::AdminServiceCloseSessionResponse* response);
  absl::Status ListSessions(const memo::v1::ListSessionsRequest& request,
                            memo::v1::ListSessionsResponse* response) const;
  absl::Status ListMethods(const memo::v1::ListMethodsRequest& request,
                           memo::v1::ListMethodsResponse* response) const;
  memo::v1::ListUpstreamsResponse ListUpstreams() const;
  memo::v1::GetDebugStateResponse GetDebugState() const;
  const MemoryPressure& memory() const { return memory_; }

 private:
  absl::StatusOr<std::shared_ptr<Session>> FindSession(const std::string& id) const;
  void ReportMemory(memo::v1::AdminServiceGetCacheInfoResponse* response) const;

  SessionTable& sessions_;
  const MethodTable& methods_;
  const Upstreams& upstreams_;
  const Gauges gauges_;
  const MemoryPressure& memory_;
};

}  // namespace memod
