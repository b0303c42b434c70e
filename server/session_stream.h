// One OpenSession stream: the strong reference that a client holds on its session.
//
// Whatever ends the stream closes the session, and whoever closes the session ends the stream.
// Thread-safe.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <memory>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "memo/v1/session.pb.h"
#include "memod/cache/session.h"

namespace memod {

class SessionService;

class SessionStream final : public grpc::ServerWriteReactor<memo::v1::OpenSessionResponse>,
                            public std::enable_shared_from_this<SessionStream> {
 public:
  // `service` holds a reference to the stream until gRPC is done with it.
  SessionStream(SessionService& service, SessionTable& sessions,
                grpc::CallbackServerContext& context)
      : service_(service), sessions_(sessions), context_(context) {}

  // Opens the session and tells the client, or ends the stream with the error.
  void Open(absl::StatusOr<Origin> origin) ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether the client is still there.
  bool Wanted() ABSL_LOCKS_EXCLUDED(mutex_);
  // Tells the client that the server is about to stop.
  void Drain() ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends the stream; the first of several calls counts.
  void End(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnCancel() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDone() override;

  void Closed(const Session& session, CloseReason reason, const Receipt& receipt);
  // Does what is due next, one thing at a time: gRPC takes one write at once, and nothing after
  // Finish.
  void Advance() ABSL_LOCKS_EXCLUDED(mutex_);

  SessionService& service_;
  SessionTable& sessions_;
  grpc::CallbackServerContext& context_;

  Mutex mutex_;
  std::shared_ptr<Session> session_ ABSL_GUARDED_BY(mutex_);
  bool client_gone_ ABSL_GUARDED_BY(mutex_) = false;
  // What is due.
  bool tell_opened_ ABSL_GUARDED_BY(mutex_) = false;
  bool tell_draining_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);
  // What is done.
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;

  memo::v1::OpenSessionResponse message_;  // of the write under way
};

}  // namespace memod
