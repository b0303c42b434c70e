#include "memod/server/hold_stream.h"

#include "absl/strings/str_cat.h"
#include "memod/cache/memo_error.h"
#include "memod/server/cache_report.h"
#include "memod/server/session_service.h"
#include "memod/server/unary_call.h"

namespace memod {

void HoldStream::Start(const std::shared_ptr<Session>& session) {
  auto expecting = env_.sessions.ExpectHolder(session);
  if (!expecting.ok()) return End(expecting.status());
  {
    MutexLock lock(expected_mutex_);
    expected_ = *std::move(expecting);
  }
  env_.sessions.leases().Grant(std::static_pointer_cast<HoldStream>(shared_from_this()),
                               env_.heartbeat_timeout, Clock::now());
  StartRead(&request_);
}

void HoldStream::OnReadDone(bool ok) {
  if (!ok) {
    // A half-close is the client's own wish; a client that is gone is told by IsCancelled at once.
    if (!context_.IsCancelled()) {
      LetGo();
      End(absl::OkStatus());
    }
    return;
  }
  env_.sessions.leases().Renew(*this, Clock::now());
  memo::v1::HoldSessionRequest message;
  absl::Status taken = Decode(request_, message);
  if (taken.ok()) taken = Take(message);
  if (!taken.ok()) {
    Lose(taken);
    return End(taken);
  }
  StartRead(&request_);
}

absl::Status HoldStream::Take(const memo::v1::HoldSessionRequest& message) {
  if (said_hold_) {
    AnswerHeartbeat();
    return absl::OkStatus();
  }
  if (!message.has_hold()) return BadRequest("the first message of HoldSession is `hold`");
  if (absl::Status name = CheckHolderName(message.hold().holder()); !name.ok()) return name;
  said_hold_ = true;
  std::shared_ptr<Session> session;
  if (const auto expected = TakeExpected()) session = expected->shared_from_this();
  // From here on it is expected no more, so that who is refused finds the place free again.
  if (session != nullptr) Hold(std::move(session), message.hold().holder());
  return absl::OkStatus();
}

std::shared_ptr<Session> HoldStream::TakeExpected() {
  MutexLock lock(expected_mutex_);
  return std::exchange(expected_, nullptr);
}

void HoldStream::Leave(const grpc::Status& status) {
  TakeExpected();
  Finish(status);
}

void HoldStream::OnCancel() {
  Lose();
  End(absl::CancelledError());
}

void HoldStream::OnLapsed() {
  const absl::Status silent = absl::DeadlineExceededError(absl::StrCat(
      "no heartbeat for ", ToSeconds(env_.heartbeat_timeout), " s (session.heartbeat_timeout)"));
  Lose(silent);
  End(silent);
}

void HoldStream::OnDone() {
  env_.sessions.leases().Revoke(*this);
  service_.Done(std::static_pointer_cast<HoldStream>(shared_from_this()));
}

void HoldStream::Tell(Word word, const Session& session) {
  memo::v1::HoldSessionResponse message;
  switch (word) {
    case Word::kHeld:
      message.mutable_held()->set_session_id(session.id());
      ReportDuration(env_.heartbeat_timeout, message.mutable_held()->mutable_heartbeat_timeout());
      break;
    case Word::kHeartbeat:
      message.mutable_heartbeat();
      break;
    case Word::kDraining:
      message.mutable_draining();
      break;
  }
  Encode(message, response_);
  StartWrite(&response_);
}

}  // namespace memod
