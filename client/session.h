// What a SessionHandle holds. Internal to the library.
#pragma once

#include <grpcpp/client_context.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "memo/v1/session.grpc.pb.h"
#include "memod/client/grpc_status.h"
#include "memod/client/servers.h"
#include "memod/client/session_channel.h"
#include "memod/client/session_handle.h"
#include "memod/client/session_keeper.h"

namespace memod {

// Destroying it lets go of the session.
struct SessionHandle::Session {
  Session(std::shared_ptr<const SharedServers> servers, std::shared_ptr<SessionKeeper> keeper)
      : servers(std::move(servers)), keeper(std::move(keeper)) {}
  ~Session() {
    keeper->Release().IgnoreError();
    keeper->LetGo();
  }

  // One of the session service's calls, where the session is; it may take effect twice. It is made
  // again if it was lost on the way, once the session is held again or is elsewhere. A server's own
  // error can look as if it was: so only once for each stream that holds the session.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (memo::v1::SessionService::Stub::*method)(
                                    grpc::ClientContext*, const Request&, Response*),
                                const Request& request, absl::Time deadline) const {
    std::optional<uint64_t> failed;  // of the holds
    for (;;) {
      const std::shared_ptr<Seat> seat = keeper->seat();
      const uint64_t hold = keeper->holds();
      grpc::ClientContext context;
      context.set_deadline(absl::ToChronoTime(deadline));
      Response response;
      const grpc::Status status = ((*service).*method)(&context, request, &response);
      if (status.ok()) return response;
      const bool left = EndedWithItsSeat(status) && keeper->seat() != seat;
      const bool lost = MayBeLost(status, context) && failed != hold;
      if (!left && !(lost && keeper->AwaitHeld(deadline))) return FromGrpc(status);
      failed = hold;
    }
  }

  absl::Time Deadline() const {
    return absl::Now() + absl::FromChrono(keeper->options().call_timeout);
  }

  static bool EndedWithItsSeat(const grpc::Status& status) {
    return status.error_code() == grpc::StatusCode::UNAVAILABLE ||
           status.error_code() == grpc::StatusCode::ABORTED;
  }
  // As gRPC ends calls whose connection ends. Nobody but a server cancels these.
  static bool MayBeLost(const grpc::Status& status, const grpc::ClientContext& context) {
    return MemoErrorOf(context).empty() && (status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                                            status.error_code() == grpc::StatusCode::CANCELLED ||
                                            status.error_code() == grpc::StatusCode::UNKNOWN);
  }

  const std::shared_ptr<const SharedServers> servers;
  const std::shared_ptr<SessionKeeper> keeper;
  absl::Mutex updating;  // held, through its calls, by whoever replaces the state
  // Constant once a SessionHandle has them.
  std::shared_ptr<SessionChannel> channel;
  std::unique_ptr<memo::v1::SessionService::Stub> service;  // over `channel`
};

}  // namespace memod
