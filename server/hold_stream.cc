#include "memod/server/hold_stream.h"

#include "absl/strings/str_cat.h"
#include "memod/cache/memo_error.h"
#include "memod/server/cache_report.h"
#include "memod/server/session_service.h"

namespace memod {

void HoldStream::Start(const std::shared_ptr<Session>& session) {
  auto expecting = env_.sessions.ExpectHolder(session);
  if (!expecting.ok()) return End(expecting.status());
  to_hold_ = *std::move(expecting);
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
  if (to_hold_ == nullptr) {
    AnswerHeartbeat();
  } else if (!request_.has_hold()) {
    return End(MemoError(absl::StatusCode::kInvalidArgument, memo_error::kBadRequest,
                         "the first message of HoldSession is `hold`"));
  } else if (absl::Status name = CheckHolderName(request_.hold().holder()); !name.ok()) {
    return End(name);
  } else {
    Hold(to_hold_->shared_from_this(), request_.hold().holder());
    to_hold_ = nullptr;
  }
  StartRead(&request_);
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
  response_.Clear();
  switch (word) {
    case Word::kHeld:
      response_.mutable_held()->set_session_id(session.id());
      ReportDuration(env_.heartbeat_timeout, response_.mutable_held()->mutable_heartbeat_timeout());
      break;
    case Word::kHeartbeat:
      response_.mutable_heartbeat();
      break;
    case Word::kDraining:
      response_.mutable_draining();
      break;
  }
  StartWrite(&response_);
}

}  // namespace memod
