#include "memod/server/holder_stream.h"

#include <utility>

#include "memod/cache/memo_error.h"
#include "memod/server/grpc_status.h"

namespace memod {
namespace {

absl::Status StatusFor(CloseReason reason) {
  switch (reason) {
    case CloseReason::kClientGone:
    case CloseReason::kLeaseLapsed:
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

void HolderStream::Hold(std::shared_ptr<Session> session, const std::string& name) {
  if (absl::Status held = env_.sessions.Hold(*session, name, shared_from_this()); !held.ok()) {
    return End(held);
  }
  bool gone = false;
  {
    MutexLock lock(mutex_);
    session_ = std::move(session);
    tell_held_ = true;
    gone = gone_;
  }
  // It went meanwhile, when there was no session to let go of.
  if (gone) Lose();
  Advance();
}

bool HolderStream::Wanted() {
  MutexLock lock(mutex_);
  return !gone_ && !end_;
}

void HolderStream::Drain() {
  {
    MutexLock lock(mutex_);
    tell_draining_ = true;
  }
  Advance();
}

std::optional<StalledCall> HolderStream::Stalled() {
  MutexLock lock(mutex_);
  if (!telling_.Look()) return std::nullopt;
  return StalledCall(context_);
}

void HolderStream::AnswerHeartbeat() {
  {
    MutexLock lock(mutex_);
    tell_heartbeat_ = true;
  }
  Advance();
}

void HolderStream::End(const absl::Status& status) {
  {
    MutexLock lock(mutex_);
    if (!end_) end_ = status;
  }
  Advance();
}

void HolderStream::Lose(const absl::Status& status) {
  Duration resume_window = env_.resume_window;
  {
    MutexLock lock(mutex_);
    gone_ = true;
    if (!handle_known_) {
      // Whether it got there is known when the write has ended, as that of a broken stream soon does.
      if (telling_.under_way()) return;
      resume_window = Duration::zero();  // nobody could come back to it
    }
  }
  LetGo(resume_window, status);
}

void HolderStream::LetGo() { LetGo(Duration::zero(), absl::OkStatus()); }

void HolderStream::LetGo(Duration resume_window, const absl::Status& status) {
  std::shared_ptr<Session> session;
  {
    MutexLock lock(mutex_);
    gone_ = true;
    session = session_;
    // Until then Hold will find that the client is gone.
    if (session == nullptr && !end_) return;
  }
  if (session != nullptr) {
    env_.sessions.LetGo(session, *this, CloseReason::kClientGone, resume_window, Clock::now());
  }
  End(status);
}

void HolderStream::OnClosed(CloseReason reason) { End(StatusFor(reason)); }

void HolderStream::OnReplaced() {
  End(MemoError(absl::StatusCode::kAborted, memo_error::kReplaced,
                "another stream holds the session under the same holder's name"));
}

void HolderStream::Told(bool ok) {
  bool lost = false;
  {
    MutexLock lock(mutex_);
    telling_.End();
    lost = gone_ && !handle_known_;  // Lose waits for this
    if (ok) handle_known_ = true;    // what is told first
  }
  // A write that failed is no news: OnCancel tells that the stream is lost.
  if (lost) Lose();
  Advance();
}

std::optional<HolderStream::Word> HolderStream::TakeWord() {
  if (session_ == nullptr || gone_) return std::nullopt;
  if (std::exchange(tell_held_, false)) return Word::kHeld;
  if (std::exchange(tell_draining_, false)) return Word::kDraining;
  if (std::exchange(tell_heartbeat_, false)) return Word::kHeartbeat;
  return std::nullopt;
}

void HolderStream::Advance() {
  std::optional<Word> word;
  std::shared_ptr<Session> session;
  std::optional<absl::Status> end;
  {
    MutexLock lock(mutex_);
    if (telling_.under_way() || left_) return;
    // The end comes last: what was to be told before it still is.
    word = TakeWord();
    if (!word) end = end_;
    if (word) telling_.Begin(/*bytes=*/0);
    left_ = end.has_value();
    session = session_;
  }
  // Whoever set telling_ or left_ is alone here, so nothing overtakes.
  if (word) Tell(*word, *session);
  if (end) Leave(ToGrpcStatus(*end, context_));
}

}  // namespace memod
