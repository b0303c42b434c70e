// What a SessionHandle holds. Internal to the library.
#pragma once

#include <grpcpp/client_context.h>

#include <chrono>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "memo/v1/session.grpc.pb.h"
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

  // One of the session service's calls, where the session is: made again if it did not get there.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (memo::v1::SessionService::Stub::*method)(
                                    grpc::ClientContext*, const Request&, Response*),
                                const Request& request) const {
    for (;;) {
      const std::shared_ptr<Seat> seat = keeper->seat();
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + keeper->options().call_timeout);
      Response response;
      const grpc::Status status = ((*service).*method)(&context, request, &response);
      if (status.ok()) return response;
      // Else it was lost on the way, and the session is elsewhere by now.
      if (keeper->seat() == seat) return FromGrpc(status);
    }
  }

  const std::shared_ptr<SessionKeeper> keeper;
  // Constant once a SessionHandle has them.
  std::shared_ptr<SessionChannel> channel;
  std::unique_ptr<memo::v1::SessionService::Stub> service;  // over `channel`
};

}  // namespace memod
