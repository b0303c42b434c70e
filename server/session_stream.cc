#include "memod/server/session_stream.h"

#include <utility>

#include "memod/cache/memo_error.h"
#include "memod/server/grpc_status.h"
#include "memod/server/logging.h"
#include "memod/server/session_service.h"

namespace memod {
namespace {

const char* Name(CloseReason reason) {
  switch (reason) {
    case CloseReason::kClientGone:
      return "client gone";
    case CloseReason::kClosedByClient:
      return "closed by client";
    case CloseReason::kClosedByAdmin:
      return "closed by admin";
    case CloseReason::kServerStopping:
      return "server stopping";
  }
  return "";
}

absl::Status StatusFor(CloseReason reason) {
  switch (reason) {
    case CloseReason::kClientGone:
      return absl::CancelledError();
    case CloseReason::kClosedByClient:
      return absl::OkStatus();
    case CloseReason::kClosedByAdmin:
      return MemoError(absl::StatusCode::kAborted, memo_error::kSessionClosed,
                       "an administrator closed the session");
    case CloseReason::kServerStopping:
      return MemoError(absl::StatusCode::kUnavailable, memo_error::kDraining,
                       "the server is stopping");
  }
  return absl::InternalError("closed for no reason");
}

}  // namespace

void SessionStream::Open(absl::StatusOr<Origin> origin) {
  if (!origin.ok()) return End(origin.status());
  bool ended = false;
  {
    MutexLock lock(mutex_);
    if (client_gone_) end_ = absl::CancelledError();
    ended = end_.has_value();
  }
  if (ended) return Advance();
  const std::string state_type = origin->state_type;
  auto session =
      sessions_.Open(*std::move(origin), context_.peer(), Clock::now(),
                     [weak = weak_from_this()](const Session& session, CloseReason reason,
                                               const Receipt& receipt) {
                       if (const auto stream = weak.lock())
                         stream->Closed(session, reason, receipt);
                     });
  if (!session.ok()) return End(session.status());
  Log(LogLevel::info, "session opened",
      {{"session", (*session)->id()}, {"state", state_type}, {"peer", (*session)->peer()}});
  bool gone = false;
  {
    MutexLock lock(mutex_);
    session_ = *session;
    tell_opened_ = true;
    gone = client_gone_;
  }
  // It went while the session was being opened, when OnCancel saw none to close.
  if (gone) sessions_.Close(*session, CloseReason::kClientGone);
  Advance();
}

bool SessionStream::Wanted() {
  MutexLock lock(mutex_);
  return !client_gone_ && !end_;
}

void SessionStream::Drain() {
  {
    MutexLock lock(mutex_);
    tell_draining_ = true;
  }
  Advance();
}

void SessionStream::End(const absl::Status& status) {
  {
    MutexLock lock(mutex_);
    if (!end_) end_ = status;
  }
  Advance();
}

void SessionStream::Closed(const Session& session, CloseReason reason, const Receipt& receipt) {
  Log(LogLevel::info, "session closed",
      {{"session", session.id()},
       {"reason", Name(reason)},
       {"entries", receipt.entries},
       {"bytes", receipt.bytes},
       {"compute_seconds", receipt.compute_seconds}});
  End(StatusFor(reason));
}

void SessionStream::OnWriteDone(bool ok) {
  {
    MutexLock lock(mutex_);
    writing_ = false;
  }
  if (ok) return Advance();
  OnCancel();  // the stream is broken
}

void SessionStream::OnCancel() {
  std::shared_ptr<Session> session;
  {
    MutexLock lock(mutex_);
    client_gone_ = true;
    session = session_;
  }
  if (session != nullptr) {
    sessions_.Close(session, CloseReason::kClientGone);
    End(absl::CancelledError());  // for a session that was closed before
  }
}

void SessionStream::OnDone() { service_.Done(shared_from_this()); }

void SessionStream::Advance() {
  std::optional<absl::Status> finish;
  {
    MutexLock lock(mutex_);
    if (writing_ || finished_) return;
    const bool can_tell = session_ != nullptr && !client_gone_;
    if (can_tell && std::exchange(tell_opened_, false)) {
      message_.mutable_opened()->set_handle(session_->handle());
      message_.mutable_opened()->set_session_id(session_->id());
    } else if (can_tell && std::exchange(tell_draining_, false)) {
      message_.mutable_draining();
    } else if (end_) {
      finished_ = true;
      finish = *end_;
    } else {
      return;
    }
    writing_ = !finish;
  }
  // Whoever set writing_ or finished_ is alone here, so nothing overtakes. The end comes last: what
  // was to be told before it still is.
  if (finish) {
    Finish(ToGrpcStatus(*finish, context_));
  } else {
    StartWrite(&message_);
  }
}

}  // namespace memod
