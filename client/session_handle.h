// A session, held: as long as the handle lives, the server keeps what it remembers for it.
#pragma once

#include <google/protobuf/message.h>
#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memo/v1/session.pb.h"
#include "memod/client/pipeline.h"

namespace memod {

struct Connections;

// Comes from Client::OpenSession. Destroying it ends the session without waiting for the server;
// so does the end of the process, however it ends. It may outlive its Client.
//
// Thread-safe, but for moving and destroying. A handle that was moved from may only be assigned to
// or destroyed. The calls to the server block, at most for ClientOptions::call_timeout.
class [[nodiscard]] SessionHandle {
 public:
  SessionHandle(SessionHandle&& other) noexcept;
  SessionHandle& operator=(SessionHandle&& other) noexcept;
  ~SessionHandle();

  // The public name of the session, in the server's logs and at its admin port.
  const std::string& id() const;
  // A secret: whoever sends it as `memo-session` is the session.
  const std::string& handle() const;

  // For stubs of your own: adds the handle to every call. Shares the connection of all calls of the
  // Client. Made on first use, then always the same; it stays when the handle goes, and calls on it
  // then end with NOT_FOUND.
  std::shared_ptr<grpc::Channel> channel() const;

  // For many calls at once. Each time another stream, on the same connection; calls on it end with
  // NOT_FOUND when the handle has gone.
  memod::Pipeline Pipeline(const PipelineOptions& options = {}) const;

  // OK while the session is held. Then why it is not: what SessionEvents::lost is told, or
  // FAILED_PRECONDITION after Close.
  absl::Status status() const;
  // The server said that it is about to stop.
  bool draining() const;

  // Replaces the state, and thereby starts an empty cache. Returns what the former one held.
  // Errors: those of SessionService.UpdateState; the session then goes on as it was.
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
