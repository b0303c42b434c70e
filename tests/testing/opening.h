// A session opened and held by the bare OpenSession stream, for what the client library hides: the
// metadata that is sent with it, and the time while it is being opened.
#pragma once

#include <grpcpp/client_context.h>

#include <memory>
#include <string>

#include "memo/v1/session.grpc.pb.h"
#include "memod/cache/metadata.h"

namespace memod {

// Ends, by force if need be, when destroyed. Not thread-safe.
class Opening {
 public:
  // Asks for a session; returns at once.
  Opening(memo::v1::SessionService::Stub& sessions, const google::protobuf::Message& state,
          const Metadata& metadata = {});
  ~Opening();
  Opening(const Opening&) = delete;
  Opening& operator=(const Opening&) = delete;

  // Blocks until the session is open, and is its handle; empty: it will not be, see Wait.
  const std::string& handle();
  // Of an open session.
  const std::string& id() const { return opened_.session_id(); }

  // As a client that goes away.
  void Cancel() { context_.TryCancel(); }
  // Blocks until the session, or its opening, has ended.
  const grpc::Status& Wait();

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<memo::v1::OpenSessionResponse>> stream_;
  bool told_ = false;
  bool ended_ = false;
  memo::v1::Opened opened_;
  grpc::Status status_;
};

}  // namespace memod
