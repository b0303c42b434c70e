// One HoldSession stream: holds a session that is open already. A lease on itself ends it when the
// client's heartbeats stop.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <memory>
#include <utility>

#include "memo/v1/session.pb.h"
#include "memod/server/holder_stream.h"

namespace memod {

class SessionService;

class HoldStream final
    : public grpc::ServerBidiReactor<memo::v1::HoldSessionRequest, memo::v1::HoldSessionResponse>,
      public HolderStream,
      public Lease {
 public:
  // `service` holds a reference to the stream until gRPC is done with it.
  HoldStream(const Environment& environment, SessionService& service,
             grpc::CallbackServerContext& context)
      : HolderStream(environment, context, Handle::kKnown), service_(service) {}

  // Holds `session` once the client has said its name.
  void Start(const std::shared_ptr<Session>& session);

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override { Told(ok); }
  void OnCancel() override;
  void OnDone() override;
  void OnLapsed() override;

  void Tell(Word word, const Session& session) override;
  void Leave(const grpc::Status& status) override { Finish(status); }

  SessionService& service_;
  std::shared_ptr<Session> to_hold_;        // expects it until the first message; the reads' own
  memo::v1::HoldSessionRequest request_;    // of the read under way
  memo::v1::HoldSessionResponse response_;  // of the write under way
};

}  // namespace memod
