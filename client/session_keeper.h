// Keeps a session open whatever becomes of its streams and servers. Internal to the library.
//
// The session is on a seat. When the seat's stream is lost, or its server is about to stop, attempts
// are made one after the other, each with a stream of its own, until one gets a seat: on the same
// server the session is resumed until that says that it is gone; on any other, or then, it is opened
// anew. A seat that is left is let go of by the last call that was made there.
#pragma once

#include <google/protobuf/any.pb.h>
#include <grpcpp/alarm.h>
#include <grpcpp/channel.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "memo/v1/session.pb.h"
#include "memod/client/client.h"
#include "memod/client/event_teller.h"
#include "memod/client/holding_stream.h"
#include "memod/client/seat.h"
#include "memod/client/servers.h"

namespace memod {

// Thread-safe. Takes no thread while nothing happens.
class SessionKeeper : public std::enable_shared_from_this<SessionKeeper> {
 public:
  using State = std::optional<google::protobuf::Any>;  // nullopt: no instance

  SessionKeeper(std::shared_ptr<const Servers> servers, State state, SessionEvents events);

  // Opens the session on the first server that takes it. Blocks until it is open, refused, or time
  // is up. Once.
  absl::Status Open(absl::Time deadline) ABSL_LOCKS_EXCLUDED(mutex_);

  // Where the session is, or was last. Null before it is open.
  std::shared_ptr<Seat> seat() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Null while no stream holds it.
  std::shared_ptr<Seat> held() const ABSL_LOCKS_EXCLUDED(mutex_);
  // How many streams have held it so far.
  uint64_t holds() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits until a stream holds the session. False: none will, or none did in time.
  bool AwaitHeld(absl::Time deadline) const ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether it was let go of, or lost for good: nothing is tried any more.
  bool done() const ABSL_LOCKS_EXCLUDED(mutex_);
  const ClientOptions& options() const { return servers_->options(); }
  // For calls on it there.
  std::shared_ptr<grpc::Channel> calls() ABSL_LOCKS_EXCLUDED(mutex_);
  // OK while a stream holds the session.
  absl::Status status() const ABSL_LOCKS_EXCLUDED(mutex_);
  bool draining() const ABSL_LOCKS_EXCLUDED(mutex_);

  // What the session is opened with from now on. False: it is not on `seat` any more, where it has
  // this state already.
  bool KeepState(State state, const std::shared_ptr<Seat>& seat) ABSL_LOCKS_EXCLUDED(mutex_);

  // From now on nothing is tried, and nothing told, but for an event that makes this very call.
  // Returns what status() was until now.
  absl::Status Release() ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends the session wherever it is. Release first.
  void LetGo() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // A way to a seat: a pause, then a stream. Guarded by mutex_, but for what is constant.
  struct Attempt {
    std::shared_ptr<HoldingStream> stream;  // null: the pause is not over; then constant
    size_t place = 0;                       // of the server; constant once there is a stream
    bool resumes = false;                   // the seat that there is; constant as that
    uint64_t states = 0;                    // what states_ was
    bool draining = false;                  // the server is
    bool timed_out = false;                 // its stream was cancelled for that
  };
  using AttemptPtr = std::shared_ptr<Attempt>;

  // What is told by one that is not under way any more, nor holds the session, is not heeded.
  void OnTimer(const AttemptPtr& attempt) ABSL_LOCKS_EXCLUDED(mutex_);
  void OnHeld(const AttemptPtr& attempt, const memo::v1::Opened& opened)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDraining(const AttemptPtr& attempt) ABSL_LOCKS_EXCLUDED(mutex_);
  void OnEnded(const AttemptPtr& attempt, const HoldingStream::End& end)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends the pause.
  void Start(const AttemptPtr& attempt) ABSL_LOCKS_EXCLUDED(mutex_);
  std::shared_ptr<HoldingStream> NewStream(const AttemptPtr& attempt)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // `seat` null: the attempt resumed that which there is.
  void Accept(const AttemptPtr& attempt, std::shared_ptr<Seat> seat) ABSL_LOCKS_EXCLUDED(mutex_);

  void TryAfter(absl::Duration pause) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Duration Pause() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What is left until the session is given up, divided among the servers that were not asked in this
  // round, so that one that is silent leaves time for the others; or less, as the options say.
  absl::Duration TimeFor(const Attempt& attempt) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Duration TimeLeft() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetTimer(absl::Duration after) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The server drains: to another one, if there is one, or to the same one later.
  void Leave() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SeatLost(const HoldingStream::End& end) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AttemptFailed(const absl::Status& end) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void GiveUp(const absl::Status& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool CanResume(size_t place) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  bool HeldOrDone() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return hold_ != nullptr || done_;
  }
  bool Answered() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return seat_ != nullptr || done_; }

  const std::shared_ptr<const Servers> servers_;
  const absl::Duration reconnect_timeout_;
  const std::string holder_;  // our name, by which a new stream takes the place of the former
  EventTeller teller_;        // events are added as they happen, under mutex_

  mutable absl::Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_);
  uint64_t states_ ABSL_GUARDED_BY(mutex_) = 0;  // how often it was replaced

  std::shared_ptr<Seat> seat_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<grpc::Channel> calls_
      ABSL_GUARDED_BY(mutex_);                          // of the seat; null: not asked for
  std::weak_ptr<Seat> former_ ABSL_GUARDED_BY(mutex_);  // where calls may still be under way
  AttemptPtr hold_ ABSL_GUARDED_BY(mutex_);     // the one that holds the session; null: none does
  uint64_t holds_ ABSL_GUARDED_BY(mutex_) = 0;  // that there were

  absl::Status status_ ABSL_GUARDED_BY(mutex_);  // why there is no hold_
  bool done_ ABSL_GUARDED_BY(mutex_) = false;    // released, or lost for good

  AttemptPtr attempt_ ABSL_GUARDED_BY(mutex_);  // under way
  size_t begin_ ABSL_GUARDED_BY(mutex_);        // the place of the first of them
  size_t failed_ ABSL_GUARDED_BY(mutex_) = 0;   // of them
  // When it is given up; infinite while a stream holds it.
  absl::Time until_ ABSL_GUARDED_BY(mutex_);
  // Of the last attempt that did not run out of time, or the loss before them: why it is given up.
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  // The lost session, as far as is known: only its server knows when it noticed the loss itself.
  bool waits_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<grpc::Alarm> timer_ ABSL_GUARDED_BY(mutex_);  // of attempt_
};

}  // namespace memod
