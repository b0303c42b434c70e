// One OpenSession stream: opens a session, and holds it.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "memod/server/holder_stream.h"

namespace memod {

class SessionService;

class SessionStream final : public grpc::ServerWriteReactor<grpc::ByteBuffer>, public HolderStream {
 public:
  // `service` holds a reference to the stream until gRPC is done with it.
  SessionStream(const Environment& environment, SessionService& service,
                grpc::CallbackServerContext& context, std::string holder)
      : HolderStream(environment, context, Handle::kTold),
        service_(service),
        holder_(std::move(holder)) {}

  // Opens the session and tells the client, or ends the stream with the error.
  void Open(absl::StatusOr<Origin> origin);

 private:
  void OnWriteDone(bool ok) override { Told(ok); }
  void OnCancel() override { Lose(); }
  void OnDone() override;

  void Tell(Word word, const Session& session) override;
  void Leave(const grpc::Status& status) override { Finish(status); }

  SessionService& service_;
  const std::string holder_;
  grpc::ByteBuffer message_;  // of the write under way
};

}  // namespace memod
