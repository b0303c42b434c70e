#include "memod/client/retry.h"

#include <grpcpp/generic/generic_stub.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "memod/client/backoff.h"
#include "memod/client/grpc_private.h"
#include "memod/client/session_keeper.h"

namespace memod {
namespace {

constexpr absl::Duration kShortestPause = absl::Milliseconds(20);
constexpr absl::Duration kLongestPause = absl::Milliseconds(500);

// gRPC gave up before it had a connection to give the call to. These are its words for that, which
// a proxy may pass on from its own side; but what came over a connection, its loss included, gRPC
// calls received. Both are asked, for a gRPC with other words is to make no call twice.
bool NeverLeft(const grpc::Status& status, const std::string& debug_error) {
  if (status.error_code() != grpc::StatusCode::UNAVAILABLE) return false;
  if (absl::StrContains(debug_error, "Error received from peer")) return false;
  for (const char* words : {"failed to connect to all addresses",
                            "connections to all backends failing", "DNS resolution failed"}) {
    if (absl::StartsWith(status.error_message(), words)) return true;
  }
  return false;
}

}  // namespace

Again WhereAgain(const grpc::Status& status, const ReceivedMetadata& trailers,
                 const std::string& debug_error) {
  if (status.ok()) return Again::kNowhere;
  const auto error = trailers.find("memo-error");
  if (error == trailers.end()) {
    return NeverLeft(status, debug_error) ? Again::kAnywhere : Again::kNowhere;
  }
  if (error->second == "SESSION_NOT_FOUND") return Again::kAnywhere;
  return error->second == "DRAINING" ? Again::kElsewhere : Again::kNowhere;
}

struct Retry::Attempt {
  std::shared_ptr<Seat> seat;
  grpc::ClientContext context;
  grpc::ByteBuffer response;
};

Retry::Retry(std::weak_ptr<SessionKeeper> keeper, Call call, Again again, std::string failure)
    : keeper_(std::move(keeper)), call_(std::move(call)), failure_(std::move(failure)) {
  const auto handle = call_.metadata.find("memo-session");
  if (again == Again::kElsewhere && handle != call_.metadata.end()) left_ = handle->second;
}

void Retry::Start(Ended ended) {
  ended_ = std::move(ended);
  Wait();
}

// gRPC cancels under a lock of the call's context, and may run what that brings about at once, on
// this thread: so another one does it.
void Retry::Cancel() {
  absl::MutexLock lock(&mutex_);
  if (std::exchange(cancelled_, true)) return;
  canceller_ = std::make_unique<grpc::Alarm>();
  canceller_->Set(std::chrono::system_clock::now(), [retry = weak_from_this()](bool) {
    if (const auto self = retry.lock()) self->CancelNow();
  });
}

void Retry::CancelNow() {
  std::shared_ptr<Attempt> attempt;
  {
    absl::MutexLock lock(&mutex_);
    if (pause_ != nullptr) pause_->Cancel();
    attempt = attempt_;
  }
  if (attempt != nullptr) attempt->context.TryCancel();
}

void Retry::Wait() {
  const auto now = std::chrono::system_clock::now();
  const auto pause = absl::ToChronoNanoseconds(Backoff(failures_++, kShortestPause, kLongestPause));
  absl::MutexLock lock(&mutex_);
  pause_ = std::make_unique<grpc::Alarm>();
  pause_->Set(std::min<std::chrono::system_clock::time_point>(
                  now + std::chrono::duration_cast<std::chrono::system_clock::duration>(pause),
                  call_.context->deadline()),
              [retry = weak_from_this()](bool) {
                if (const auto self = retry.lock()) self->GoOn();
              });
  if (cancelled_) pause_->Cancel();
}

bool Retry::cancelled() const {
  absl::MutexLock lock(&mutex_);
  return cancelled_;
}

void Retry::GoOn() {
  if (cancelled()) {
    return End(Answer{grpc::Status(grpc::StatusCode::CANCELLED, "CANCELLED"), nullptr, {}});
  }
  if (std::chrono::system_clock::now() >= call_.context->deadline()) {
    const std::string why =
        absl::StrCat("Deadline Exceeded while the session was being reconnected: ", failure_);
    return End(Answer{grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, why), nullptr, {}});
  }
  const auto keeper = keeper_.lock();
  if (keeper == nullptr || keeper->done() ||
      absl::FromChrono(Clock::now() - began_) >
          absl::FromChrono(keeper->options().reconnect_timeout)) {
    return End(std::move(last_answer_));
  }
  std::shared_ptr<Seat> seat = keeper->held();
  if (seat == nullptr || seat->opened.handle() == left_) return Wait();
  Try(std::move(seat));
}

void Retry::Try(std::shared_ptr<Seat> seat) {
  const auto attempt = std::make_shared<Attempt>();
  attempt->seat = std::move(seat);
  grpc::ClientContext& context = attempt->context;
  for (const auto& [name, value] : call_.metadata) {
    if (name != "memo-session") context.AddMetadata(name, value);
  }
  context.AddMetadata("memo-session", attempt->seat->opened.handle());
  context.set_authority(GrpcPrivate::AuthorityOf(*call_.context));
  context.set_deadline(call_.context->deadline());
  context.set_credentials(call_.context->credentials());
  {
    absl::MutexLock lock(&mutex_);
    attempt_ = attempt;
    if (cancelled_) context.TryCancel();  // which counts before the start as well
  }
  grpc::GenericStub(attempt->seat->server().calls)
      .UnaryCall(&context, call_.method, grpc::StubOptions(), &call_.request, &attempt->response,
                 [self = shared_from_this(), attempt](const grpc::Status& status) {
                   self->OnAnswer(attempt, status);
                 });
}

void Retry::OnAnswer(const std::shared_ptr<Attempt>& attempt, const grpc::Status& status) {
  {
    absl::MutexLock lock(&mutex_);
    attempt_ = nullptr;
  }
  const Again again = WhereAgain(status, attempt->context.GetServerTrailingMetadata(),
                                 attempt->context.debug_error_string());
  if (again == Again::kElsewhere) left_ = attempt->seat->opened.handle();
  attempt->seat = nullptr;  // which the answer is not to keep
  Answer answer{status, std::shared_ptr<grpc::ClientContext>(attempt, &attempt->context),
                std::move(attempt->response)};
  if (again == Again::kNowhere) return End(std::move(answer));
  failure_ = status.error_message();
  last_answer_ = std::move(answer);
  Wait();
}

void Retry::End(std::optional<Answer> answer) {
  const Ended ended = std::move(ended_);
  ended(std::move(answer));
}

}  // namespace memod
