// SessionService of memo/v1/session.proto: opens, holds and closes sessions. Contains no policy.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "memo/v1/session.grpc.pb.h"
#include "memod/cache/session.h"
#include "memod/server/compute_pool.h"
#include "memod/server/hosted_class.h"
#include "memod/server/method_table.h"

namespace memod {

class SessionStream;

class SessionService final : public memo::v1::SessionService::CallbackService {
 public:
  // What the service works on; all outlive it.
  struct Environment {
    SessionTable& sessions;
    const MethodTable& methods;
    const Registry& registry;
    ComputePool& pool;
    int64_t max_state_bytes;
  };

  explicit SessionService(const Environment& environment) : env_(environment) {}

  // Refuses new sessions with UNAVAILABLE from now on, and tells every open one `draining`.
  void Drain() ABSL_LOCKS_EXCLUDED(mutex_);

  grpc::ServerWriteReactor<memo::v1::OpenSessionResponse>* OpenSession(
      grpc::CallbackServerContext* context, const memo::v1::OpenSessionRequest* request) override;
  grpc::ServerUnaryReactor* UpdateState(grpc::CallbackServerContext* context,
                                        const memo::v1::UpdateStateRequest* request,
                                        memo::v1::UpdateStateResponse* response) override;
  grpc::ServerUnaryReactor* CloseSession(grpc::CallbackServerContext* context,
                                         const memo::v1::CloseSessionRequest* request,
                                         memo::v1::CloseSessionResponse* response) override;
  grpc::ServerUnaryReactor* ClearCache(grpc::CallbackServerContext* context,
                                       const memo::v1::ClearCacheRequest* request,
                                       memo::v1::ClearCacheResponse* response) override;
  grpc::ServerUnaryReactor* GetCacheInfo(grpc::CallbackServerContext* context,
                                         const memo::v1::GetCacheInfoRequest* request,
                                         memo::v1::GetCacheInfoResponse* response) override;

 private:
  friend class SessionStream;
  // The stream has ended; nothing uses it any more.
  void Done(const std::shared_ptr<SessionStream>& stream) ABSL_LOCKS_EXCLUDED(mutex_);

  // Makes an incarnation from `state` (nullopt: one without an instance) on the compute pool and
  // calls `done` there; at once if there is nothing to make. Unless it is still `wanted` when its
  // turn comes, it is not made, and `done` is told CANCELLED.
  using Built = absl::AnyInvocable<void(absl::StatusOr<std::shared_ptr<Incarnation>>)>;
  void Build(std::optional<google::protobuf::Any> state, std::function<bool()> wanted, Built done);
  absl::StatusOr<const HostedService*> ClassOf(const google::protobuf::Any& state) const;
  // The session that the call's metadata names.
  absl::StatusOr<std::shared_ptr<Session>> SessionOf(
      const grpc::CallbackServerContext& context) const;
  // The methods of its class, or the one named. NOT_FOUND: it has no such method.
  absl::StatusOr<std::vector<const Method*>> MethodsOf(const Incarnation& incarnation,
                                                       const std::string& name) const;

  const Environment env_;

  Mutex mutex_;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_set<std::shared_ptr<SessionStream>> streams_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace memod
