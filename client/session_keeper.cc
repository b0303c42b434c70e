#include "memod/client/session_keeper.h"

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/time/clock.h"
#include "memod/client/backoff.h"
#include "memod/client/retrying_call.h"

namespace memod {
namespace {

constexpr absl::Duration kShortestPause = absl::Milliseconds(100);
constexpr absl::Duration kLongestPause = absl::Seconds(2);

std::string RandomName() {
  std::random_device random;
  std::string bytes(16, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return absl::BytesToHexString(bytes);
}

absl::Status TimedOut() {
  return absl::DeadlineExceededError("the server did not open the session in time");
}

// Whether an attempt that failed like this may be made again; else the server does not take us.
bool MayPass(const absl::Status& why) {
  switch (why.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kCancelled:  // by a server that is stopped, for one
    case absl::StatusCode::kInternal:   // from proxies, for one
    case absl::StatusCode::kUnknown:
      return true;
    default:
      return false;
  }
}

}  // namespace

SessionKeeper::SessionKeeper(std::shared_ptr<const Servers> servers, State state,
                             SessionEvents events)
    : servers_(std::move(servers)),
      reconnect_timeout_(absl::FromChrono(servers_->options().reconnect_timeout)),
      holder_(RandomName()),
      teller_(std::move(events)),
      state_(std::move(state)),
      begin_(servers_->Next()) {}

absl::Status SessionKeeper::Open(absl::Time deadline) {
  AttemptPtr first;
  {
    absl::MutexLock lock(&mutex_);
    first = attempt_ = std::make_shared<Attempt>();
    until_ = deadline;
  }
  Start(first);
  absl::MutexLock lock(&mutex_);
  if (!mutex_.AwaitWithDeadline(absl::Condition(this, &SessionKeeper::Answered), deadline)) {
    return TimedOut();
  }
  return seat_ != nullptr ? absl::OkStatus() : status_;
}

std::shared_ptr<Seat> SessionKeeper::seat() const {
  absl::MutexLock lock(&mutex_);
  return seat_;
}

std::shared_ptr<Seat> SessionKeeper::held() const {
  absl::MutexLock lock(&mutex_);
  return hold_ == nullptr ? nullptr : seat_;
}

uint64_t SessionKeeper::holds() const {
  absl::MutexLock lock(&mutex_);
  return holds_;
}

bool SessionKeeper::AwaitHeld(absl::Time deadline) const {
  absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithDeadline(absl::Condition(this, &SessionKeeper::HeldOrDone), deadline);
  return hold_ != nullptr && !done_;
}

bool SessionKeeper::done() const {
  absl::MutexLock lock(&mutex_);
  return done_;
}

std::shared_ptr<grpc::Channel> SessionKeeper::calls() {
  absl::MutexLock lock(&mutex_);
  if (calls_ == nullptr) {
    const bool retries = reconnect_timeout_ > absl::ZeroDuration();
    calls_ = seat_->NewChannel([keeper = weak_from_this(), retries](auto* call) {
      return retries ? RetryingCall::Create(keeper, call) : nullptr;
    });
  }
  return calls_;
}

absl::Status SessionKeeper::status() const {
  absl::MutexLock lock(&mutex_);
  return status_;
}

bool SessionKeeper::draining() const {
  absl::MutexLock lock(&mutex_);
  return hold_ != nullptr && hold_->draining;
}

bool SessionKeeper::KeepState(State state, const std::shared_ptr<Seat>& seat) {
  absl::MutexLock lock(&mutex_);
  state_ = std::move(state);
  ++states_;
  return seat_ == seat;
}

absl::Status SessionKeeper::Release() {
  AttemptPtr attempt;
  std::unique_ptr<grpc::Alarm> timer;
  absl::Status before;
  {
    absl::MutexLock lock(&mutex_);
    before = status_;
    done_ = true;
    if (status_.ok()) status_ = absl::FailedPreconditionError("the session is closed");
    attempt = std::move(attempt_);
    timer = std::move(timer_);
  }
  if (attempt != nullptr && attempt->stream != nullptr) attempt->stream->Cancel();
  teller_.Release();
  return before;
}

void SessionKeeper::LetGo() {
  std::shared_ptr<Seat> seat, former;
  {
    absl::MutexLock lock(&mutex_);
    seat = seat_;
    former = former_.lock();
  }
  for (const auto& left : {seat, former}) {
    if (left != nullptr) left->LetGo();
  }
}

void SessionKeeper::Start(const AttemptPtr& attempt) {
  {
    absl::MutexLock lock(&mutex_);
    if (attempt_ != attempt) return;
    attempt->place = (begin_ + failed_) % servers_->size();
    attempt->resumes = CanResume(attempt->place);
    attempt->states = states_;
    attempt->stream = NewStream(attempt);
    SetTimer(TimeFor(*attempt));
  }
  servers_->at(attempt->place).ConnectNow();
  attempt->stream->Start();
}

std::shared_ptr<HoldingStream> SessionKeeper::NewStream(const AttemptPtr& attempt) {
  HoldingStream::Listener listener;
  listener.held = [self = shared_from_this(), attempt](const memo::v1::Opened& opened) {
    self->OnHeld(attempt, opened);
  };
  listener.draining = [self = shared_from_this(), attempt] { self->OnDraining(attempt); };
  listener.ended = [self = shared_from_this(), attempt](const HoldingStream::End& end) {
    self->OnEnded(attempt, end);
  };
  const auto& streams = servers_->at(attempt->place).streams;
  if (attempt->resumes)
    return HoldingStream::Resume(streams, seat_->opened, holder_, std::move(listener));
  memo::v1::OpenSessionRequest request;
  if (state_) *request.mutable_state() = *state_;
  request.set_holder(holder_);
  return HoldingStream::Open(streams, std::move(request), std::move(listener));
}

bool SessionKeeper::CanResume(size_t place) const {
  return waits_ && hold_ == nullptr && seat_->place == place;
}

absl::Duration SessionKeeper::TimeFor(const Attempt& attempt) const {
  const ClientOptions& options = servers_->options();
  const auto others = static_cast<int64_t>(servers_->size() - 1 - failed_ % servers_->size());
  return std::min(
      absl::FromChrono(attempt.resumes ? options.connect_timeout : options.call_timeout),
      TimeLeft() / (1 + others));
}

absl::Duration SessionKeeper::TimeLeft() const {
  return std::max(until_ - absl::Now(), absl::ZeroDuration());
}

void SessionKeeper::OnTimer(const AttemptPtr& attempt) {
  std::shared_ptr<HoldingStream> stream;
  {
    absl::MutexLock lock(&mutex_);
    if (attempt_ != attempt) return;
    stream = attempt->stream;
    attempt->timed_out = stream != nullptr;
  }
  if (stream == nullptr) return Start(attempt);
  stream->Cancel();  // OnEnded follows
}

void SessionKeeper::OnHeld(const AttemptPtr& attempt, const memo::v1::Opened& opened) {
  if (attempt->resumes) return Accept(attempt, nullptr);
  auto seat = std::make_shared<Seat>(servers_, attempt->place, opened, attempt->stream);
  bool first = false;
  {
    absl::MutexLock lock(&mutex_);
    first = seat_ == nullptr;
  }
  if (first) return Accept(attempt, std::move(seat));
  // Calls are to find a connection there: those that do not wait for one would fail.
  const Connections& server = seat->server();
  server.ReachCalls(opened.handle(), [self = shared_from_this(), attempt, seat = std::move(seat)] {
    self->Accept(attempt, seat);
  });
}

void SessionKeeper::Accept(const AttemptPtr& attempt, std::shared_ptr<Seat> seat) {
  // After the lock: they may be the last to keep what was left.
  std::shared_ptr<grpc::Channel> calls;
  std::unique_ptr<grpc::Alarm> timer;
  {
    absl::MutexLock lock(&mutex_);
    if (attempt_ != attempt) return;  // a seat that nobody keeps is let go of
    if (seat != nullptr && attempt->states != states_) return TryAfter(absl::ZeroDuration());
    hold_ = std::move(attempt_);
    ++holds_;
    timer = std::move(timer_);
    failed_ = 0;
    until_ = absl::InfiniteFuture();
    status_ = absl::OkStatus();
    if (seat == nullptr) {
      seat_->HoldBy(attempt->stream);
      teller_.Add([](const SessionEvents& events) {
        if (events.resumed) events.resumed();
      });
    } else {
      if (seat_ != nullptr) {
        teller_.Add([](const SessionEvents& events) {
          if (events.reopened) events.reopened();
        });
      }
      std::swap(seat_, seat);
      former_ = seat;
      calls = std::move(calls_);
    }
    if (attempt->draining) Leave();
    if (reconnect_timeout_ <= absl::ZeroDuration()) state_.reset();  // it can be large
  }
  teller_.Tell();
}

void SessionKeeper::OnDraining(const AttemptPtr& attempt) {
  {
    absl::MutexLock lock(&mutex_);
    attempt->draining = true;
    if (attempt != hold_ || done_) return;
    Leave();
  }
  teller_.Tell();
}

void SessionKeeper::OnEnded(const AttemptPtr& attempt, const HoldingStream::End& end) {
  {
    absl::MutexLock lock(&mutex_);
    if (done_) return;
    if (attempt == hold_) SeatLost(end);
    if (attempt == attempt_) AttemptFailed(end.status);
  }
  teller_.Tell();
}

void SessionKeeper::SeatLost(const HoldingStream::End& end) {
  hold_ = nullptr;
  status_ = failure_ = end.status;
  until_ = absl::Now() + reconnect_timeout_;
  waits_ = seat_->resume_window() > absl::ZeroDuration();
  if (end.for_good || reconnect_timeout_ <= absl::ZeroDuration()) return GiveUp(end.status);
  if (attempt_ != nullptr) {  // it was about to move
    if (attempt_->stream != nullptr) SetTimer(TimeFor(*attempt_));
    return;
  }
  begin_ = seat_->place;
  failed_ = 0;
  TryAfter(Pause());
}

void SessionKeeper::AttemptFailed(const absl::Status& end) {
  const bool first = seat_ == nullptr, resumed = attempt_->resumes;
  const absl::Status why = attempt_->timed_out ? TimedOut() : end;
  if (!attempt_->timed_out) failure_ = end;
  attempt_ = nullptr;
  if (resumed && absl::IsNotFound(why)) {
    waits_ = false;
    return TryAfter(absl::ZeroDuration());
  }
  ++failed_;
  if (first) {
    if (!MayPass(why) || failed_ == servers_->size()) return GiveUp(why);
    return TryAfter(absl::ZeroDuration());
  }
  if (hold_ != nullptr) {
    if (MayPass(why)) TryAfter(Pause());  // else it stays where it is as long as it may
  } else if (MayPass(why) && TimeLeft() > absl::ZeroDuration()) {
    TryAfter(Pause());
  } else {
    GiveUp(failure_);
  }
}

void SessionKeeper::Leave() {
  teller_.Add([](const SessionEvents& events) {
    if (events.draining) events.draining();
  });
  if (attempt_ != nullptr || reconnect_timeout_ <= absl::ZeroDuration()) return;
  begin_ = seat_->place + 1;
  TryAfter(Pause());
}

void SessionKeeper::GiveUp(const absl::Status& why) {
  done_ = true;
  status_ = why;
  attempt_ = nullptr;
  if (seat_ == nullptr) return;  // Open returns it
  teller_.Add([why](const SessionEvents& events) {
    if (events.lost) events.lost(why);
  });
}

absl::Duration SessionKeeper::Pause() const {
  return std::min(Backoff(failed_ / servers_->size(), kShortestPause, kLongestPause), TimeLeft());
}

void SessionKeeper::TryAfter(absl::Duration pause) {
  attempt_ = std::make_shared<Attempt>();
  SetTimer(pause);
}

void SessionKeeper::SetTimer(absl::Duration after) {
  timer_ = std::make_unique<grpc::Alarm>();
  timer_->Set(absl::ToChronoTime(absl::Now() + after),
              [keeper = weak_from_this(), attempt = attempt_](bool over) {
                const auto self = keeper.lock();
                if (over && self != nullptr) self->OnTimer(attempt);
              });
}

}  // namespace memod
