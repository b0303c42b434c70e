// SessionService of memo/v1/session.proto: opens, holds and closes sessions. Contains no policy.
#pragma once

#include <cstddef>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "memo/v1/session.grpc.pb.h"
#include "memod/cache/session_table.h"
#include "memod/server/admission.h"
#include "memod/server/calls_in_flight.h"
#include "memod/server/holder_stream.h"
#include "memod/server/incarnator.h"
#include "memod/server/method_table.h"
#include "memod/server/unary_call.h"

namespace memod {

// Each method gets the bytes; see unary_call.h.
using RawSessionService = memo::v1::SessionService::WithRawCallbackMethod_OpenSession<
    memo::v1::SessionService::WithRawCallbackMethod_HoldSession<memo::v1::SessionService::Service>>;

class SessionService final : public RawSessionService {
 public:
  // What the service works on; all outlive it.
  struct Environment {
    SessionTable& sessions;
    const MethodTable& methods;
    Incarnator& incarnator;
    std::vector<std::string> captured;  // session.metadata: what each session keeps of its opening
    HolderStream::Environment holding;
    Duration max_ttl;
    const Admission& admission;
    const MemoryPressure& memory;
    CallsInFlight& calls;
  };

  explicit SessionService(Environment environment);

  // For the table to be told of.
  static void LogClosed(const Session& session, CloseReason reason, const Receipt& receipt);

  // Refuses new sessions with UNAVAILABLE from now on, and tells every open one `draining`.
  void Drain() ABSL_LOCKS_EXCLUDED(mutex_);

  // Streams that open or hold a session.
  int64_t streams() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Those of them whose clients do not read; by the WriteClock.
  std::vector<StalledCall> Stalled() ABSL_LOCKS_EXCLUDED(mutex_);

  grpc::ServerWriteReactor<grpc::ByteBuffer>* OpenSession(grpc::CallbackServerContext* context,
                                                          const grpc::ByteBuffer* request) override;
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* HoldSession(
      grpc::CallbackServerContext* context) override;
  // For its streams.

  // UNAVAILABLE: from Drain on. RESOURCE_EXHAUSTED: as SessionTable::Open.
  absl::StatusOr<std::shared_ptr<Session>> Open(Origin origin, std::string peer);
  // The stream has ended; nothing uses it any more.
  void Done(const std::shared_ptr<HolderStream>& stream) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // UNAVAILABLE from Drain on; else the stream is told when that comes.
  absl::Status Add(const std::shared_ptr<HolderStream>& stream) ABSL_LOCKS_EXCLUDED(mutex_);
  bool draining() const ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<std::shared_ptr<HolderStream>> Streams() const ABSL_LOCKS_EXCLUDED(mutex_);

  // The unary methods.
  using Context = grpc::CallbackServerContext;
  template <typename Request, typename Response>
  using Handler = void (SessionService::*)(const grpc::ByteBuffer& bytes,
                                           UnaryCall<Request, Response>& call);
  template <typename Request, typename Response>
  void Serve(int method, Handler<Request, Response> handler);
  void Lease(const grpc::ByteBuffer& bytes,
             UnaryCall<memo::v1::LeaseSessionRequest, memo::v1::LeaseSessionResponse>& call);
  void Update(const grpc::ByteBuffer& bytes,
              UnaryCall<memo::v1::UpdateStateRequest, memo::v1::UpdateStateResponse>& call);

  // Those that are answered at once.
  template <typename Request, typename Response>
  using Answer = absl::Status (SessionService::*)(const Context&, const Request&, Response&) const;
  template <typename Request, typename Response>
  void ServeAtOnce(int method, Answer<Request, Response> answer,
                   size_t max_bytes = std::numeric_limits<size_t>::max());
  absl::Status Renew(const Context& context, const memo::v1::RenewSessionRequest& request,
                     memo::v1::RenewSessionResponse& response) const;
  absl::Status Close(const Context& context, const memo::v1::CloseSessionRequest& request,
                     memo::v1::CloseSessionResponse& response) const;
  absl::Status Clear(const Context& context, const memo::v1::ClearCacheRequest& request,
                     memo::v1::ClearCacheResponse& response) const;
  absl::Status Forget(const Context& context, const memo::v1::ForgetRequest& request,
                      memo::v1::ForgetResponse& response) const;
  absl::Status CacheInfo(const Context& context, const memo::v1::GetCacheInfoRequest& request,
                         memo::v1::GetCacheInfoResponse& response) const;

  // RESOURCE_EXHAUSTED: there is no room for the session that the call is to open.
  absl::Status CheckRoom(const grpc::CallbackServerContext& context) const;
  // The session that the call's metadata names.
  absl::StatusOr<std::shared_ptr<Session>> SessionOf(
      const grpc::CallbackServerContext& context) const;
  // What a call about a session's memory is about: its incarnation, and the methods of its class,
  // or the one named. NOT_FOUND: it has no such method.
  struct Memory {
    std::shared_ptr<Incarnation> incarnation;
    std::vector<const Method*> methods;
  };
  absl::StatusOr<Memory> MemoryOf(const grpc::CallbackServerContext& context,
                                  const std::string& method) const;

  const Environment env_;

  mutable Mutex mutex_;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_set<std::shared_ptr<HolderStream>> streams_ ABSL_GUARDED_BY(mutex_);
};

// INVALID_ARGUMENT: it is longer than a holder's name may be.
absl::Status CheckHolderName(const std::string& name);

}  // namespace memod
