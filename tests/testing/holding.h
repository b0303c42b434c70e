// A session held by the bare HoldSession stream.
#pragma once

#include <grpcpp/client_context.h>

#include <memory>
#include <optional>
#include <string>

#include "memo/v1/session.grpc.pb.h"

namespace memod {

// Ends, by force if need be, when destroyed. Not thread-safe.
class Holding {
 public:
  // `handle` nullopt: none is sent.
  Holding(memo::v1::SessionService::Stub& sessions, const std::optional<std::string>& handle);
  ~Holding();
  Holding(const Holding&) = delete;
  Holding& operator=(const Holding&) = delete;

  // False: the stream has ended.
  bool SendHold(const std::string& holder);
  bool SendHeartbeat();
  // nullopt: the stream has ended, see Wait.
  std::optional<memo::v1::HoldSessionResponse> Read();
  // Says hold, and waits until it does.
  bool Hold(const std::string& holder = "");

  // As a client that lets go, or one that goes away.
  void HalfClose() { stream_->WritesDone(); }
  void Cancel() { context_.TryCancel(); }
  // Blocks until the stream has ended.
  const grpc::Status& Wait();

 private:
  grpc::ClientContext context_;
  std::unique_ptr<
      grpc::ClientReaderWriter<memo::v1::HoldSessionRequest, memo::v1::HoldSessionResponse>>
      stream_;
  bool ended_ = false;
  grpc::Status status_;
};

}  // namespace memod
