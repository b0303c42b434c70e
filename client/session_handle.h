// A session, held: as long as the handle lives, a server keeps what it remembers for it.
#pragma once

#include <google/protobuf/message.h>
#include <grpcpp/impl/channel_interface.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memo/v1/session.pb.h"
#include "memod/client/pipeline.h"

namespace memod {

// Comes from Client::OpenSession. Destroying it ends the session without waiting for the server, but
// for the last of a Client (see there); so does the end of the process, however it ends, where the
// server has no resume window. It may outlive its Client.
//
// A session that loses its connection or its server is reconnected, as ClientOptions say: resumed as
// it was where the server still has it, else opened anew with its state on a server that takes it.
// What was remembered is then gone, and its name and handle are new.
//
// Thread-safe, but for moving and destroying. A handle that was moved from may only be assigned to
// or destroyed. The calls to the server block, at most for ClientOptions::call_timeout. One that is
// lost on the way is made again within that time, once the session is held again; what it returns is
// then of the last time.
class [[nodiscard]] SessionHandle {
 public:
  SessionHandle(SessionHandle&& other) noexcept;
  SessionHandle& operator=(SessionHandle&& other) noexcept;
  ~SessionHandle();

  // The public name of the session as it is now, in the server's logs and at its admin port.
  std::string id() const;
  // A secret: whoever sends it as `memo-session` is the session as it is now.
  std::string handle() const;

  // For stubs of your own, which may be kept: makes each call where the session is then, with the
  // handle that it has there, over the connection of all calls of the Client. Always the same; it
  // stays when the handle goes, and calls on it then end with NOT_FOUND. client.h says what becomes
  // of calls when a server stops or is lost.
  std::shared_ptr<grpc::ChannelInterface> channel() const;

  // For many calls at once. Each time another stream, to where the session is then; when the session
  // has moved, or the handle has gone, calls on it end with NOT_FOUND.
  memod::Pipeline Pipeline(const PipelineOptions& options = {}) const;

  // OK while the session is held. Then why it is not: the loss of its stream, while it is being
  // reconnected; what SessionEvents::lost is told; or FAILED_PRECONDITION after Close.
  absl::Status status() const;
  // The server said that it is about to stop, and the session has not left it yet.
  bool draining() const;

  // Replaces the state, and thereby starts an empty cache. Returns what the former one held. One after
  // the other: a call waits for those that began before it.
  // Errors: those of SessionService.UpdateState; the session then goes on as it was. Unless it was
  // DEADLINE_EXCEEDED, or an UNAVAILABLE, CANCELLED, UNKNOWN or INTERNAL that may be the connection's:
  // then it is unknown which of both states the session has, until the next update.
  absl::StatusOr<memo::v1::ReleaseReceipt> UpdateState(const google::protobuf::Message& state);

  // Drops what is remembered, of every method or of one ("/pkg.Service/Method").
  // Errors: those of SessionService.ClearCache.
  absl::StatusOr<memo::v1::ReleaseReceipt> ClearCache(const std::string& method = "");

  // Drops the entry of one call, if there is one. (Where metadata is part of the method's key, call
  // SessionService.Forget with the call's metadata instead.)
  // Errors: those of SessionService.Forget.
  absl::StatusOr<memo::v1::ReleaseReceipt> Forget(const std::string& method,
                                                  const google::protobuf::Message& request);

  // The session's counters, over every method or of one.
  // Errors: those of SessionService.GetCacheInfo.
  absl::StatusOr<memo::v1::GetCacheInfoResponse> GetCacheInfo(const std::string& method = "") const;

  // Ends the session and says what it released. The session is let go of in any case; on an error
  // only the receipt is missing.
  // Errors: status(), if not OK; those of SessionService.CloseSession.
  absl::StatusOr<memo::v1::ReleaseReceipt> Close();

 private:
  friend class Client;
  struct Session;
  explicit SessionHandle(std::unique_ptr<Session> session);

  std::unique_ptr<Session> session_;  // null: moved from
};

}  // namespace memod
