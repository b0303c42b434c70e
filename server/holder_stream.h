// A stream by which a client holds a session: that of OpenSession or of HoldSession.
//
// Whatever ends the stream lets go of the session, and whoever closes the session ends the stream.
// Thread-safe.
#pragma once

#include <grpcpp/server_context.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "memod/cache/session_table.h"
#include "memod/server/write_clock.h"

namespace memod {

class HolderStream : public Holder, public std::enable_shared_from_this<HolderStream> {
 public:
  // What holding a session is about; all outlive the stream.
  struct Environment {
    SessionTable& sessions;
    Duration resume_window;      // how long a session waits for the client that lost its stream
    Duration heartbeat_timeout;  // of HoldSession's streams
  };

  // Whether the client is still there, and the stream.
  bool Wanted() ABSL_LOCKS_EXCLUDED(mutex_);
  // Tells the client that the server is about to stop.
  void Drain() ABSL_LOCKS_EXCLUDED(mutex_);
  // If the client does not read what it was told; by the WriteClock.
  std::optional<StalledCall> Stalled() ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends the stream; the first of several calls counts.
  void End(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);

 protected:
  // Whether the client has the session's handle already, or is told it by this stream.
  enum class Handle { kKnown, kTold };
  HolderStream(const Environment& environment, grpc::CallbackServerContext& context, Handle handle)
      : env_(environment), context_(context), handle_known_(handle == Handle::kKnown) {}

  // What clients are told.
  enum class Word { kHeld, kHeartbeat, kDraining };
  // Writes it; Told follows. Not called again before, nor after Leave.
  virtual void Tell(Word word, const Session& session) = 0;
  // Finishes.
  virtual void Leave(const grpc::Status& status) = 0;

  // Holds the session under this name, and tells the client; or ends the stream with the error.
  // Once.
  void Hold(std::shared_ptr<Session> session, const std::string& name) ABSL_LOCKS_EXCLUDED(mutex_);
  void AnswerHeartbeat() ABSL_LOCKS_EXCLUDED(mutex_);
  void Told(bool ok) ABSL_LOCKS_EXCLUDED(mutex_);
  // The client is gone: the session waits for it as long as the resume window, unless its handle
  // has not left the server.
  void Lose(const absl::Status& status = absl::CancelledError()) ABSL_LOCKS_EXCLUDED(mutex_);
  // The client has let go of the session by itself.
  void LetGo() ABSL_LOCKS_EXCLUDED(mutex_);

  const Environment& env_;
  grpc::CallbackServerContext& context_;

 private:
  void OnClosed(CloseReason reason) override;
  void OnReplaced() override;

  void LetGo(Duration resume_window, const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  // Does what is due next, one thing at a time: gRPC takes one write at once, and nothing after
  // Finish.
  void Advance() ABSL_LOCKS_EXCLUDED(mutex_);
  std::optional<Word> TakeWord() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Mutex mutex_;
  std::shared_ptr<Session> session_ ABSL_GUARDED_BY(mutex_);  // from Hold on
  bool gone_ ABSL_GUARDED_BY(mutex_) = false;                 // the client is
  bool handle_known_ ABSL_GUARDED_BY(mutex_);                 // to the client
  // What is due.
  bool tell_held_ ABSL_GUARDED_BY(mutex_) = false;
  bool tell_heartbeat_ ABSL_GUARDED_BY(mutex_) = false;
  bool tell_draining_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);
  // What is done.
  WriteLooks telling_ ABSL_GUARDED_BY(mutex_);
  bool left_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace memod
