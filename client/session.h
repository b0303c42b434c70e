// What a SessionHandle holds. Internal to the library.
#pragma once

#include <grpcpp/client_context.h>

#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "memo/v1/session.grpc.pb.h"
#include "memod/client/deadline.h"
#include "memod/client/grpc_status.h"
#include "memod/client/session_channel.h"
#include "memod/client/session_handle.h"
#include "memod/client/session_keeper.h"

namespace memod {

// Destroying it lets go of the session.
struct SessionHandle::Session {
  explicit Session(std::shared_ptr<SessionKeeper> keeper) : keeper(std::move(keeper)) {}
  ~Session() {
    keeper->Release().IgnoreError();
    keeper->LetGo();
  }

  // One of the session service's calls, where the session is; once more if it was lost on the way and
  // the session is elsewhere by then.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (memo::v1::SessionService::Stub::*method)(
                                    grpc::ClientContext*, const Request&, Response*),
                                const Request& request) const {
    const auto deadline = DeadlineAfter(keeper->options().call_timeout);
    for (;;) {
      const std::shared_ptr<Seat> seat = keeper->seat();
      grpc::ClientContext context;
      context.set_deadline(deadline);
      Response response;
      const grpc::Status status = ((*service).*method)(&context, request, &response);
      if (status.ok()) return response;
      const bool lost = status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                        status.error_code() == grpc::StatusCode::ABORTED;
      if (!lost || keeper->seat() == seat) return FromGrpc(status);
    }
  }

  const std::shared_ptr<SessionKeeper> keeper;
  absl::Mutex updating;  // held, through its calls, by whoever replaces the state
  // Constant once a SessionHandle has them.
  std::shared_ptr<SessionChannel> channel;
  std::unique_ptr<memo::v1::SessionService::Stub> service;  // over `channel`
};

}  // namespace memod
