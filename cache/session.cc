#include "memod/cache/session.h"

#include <utility>

#include "memod/cache/session_table.h"

namespace memod {

Session::Session(Opening opening)
    : table_(opening.table),
      mutex_(opening.mutex),
      peer_(std::move(opening.peer)),
      opened_at_(opening.opened_at),
      handle_(opening.handle),
      id_(opening.id),
      incarnation_(std::move(opening.incarnation)) {}

std::shared_ptr<Incarnation> Session::incarnation() const {
  MutexLock lock(mutex_);
  return incarnation_;
}

Session::HeldBy Session::held_by() const {
  MutexLock lock(mutex_);
  return HeldByLocked();
}

Session::HeldBy Session::HeldByLocked() const {
  const Leases& leases = table_.leases_;
  return {.holders = static_cast<int64_t>(holds_.size()),
          .lease = leases.granted(*this),
          .resume_window = resume_window_ != nullptr && leases.granted(*resume_window_)};
}

bool Session::Held() const {
  if (!holds_.empty()) return true;  // as of nearly all, on each call's path
  const HeldBy by = HeldByLocked();
  return by.lease || by.resume_window;
}

bool Session::Ended() const { return incarnation_ == nullptr || (handed_over_ && !Held()); }

void Session::OnLapsed() {
  table_.CloseIf(shared_from_this(), CloseReason::kLeaseLapsed, /*only_unheld=*/true);
}

void Session::ResumeWindow::OnLapsed() {
  if (const auto waiting = session.lock()) {
    waiting->table_.CloseIf(waiting, reason, /*only_unheld=*/true);
  }
}

}  // namespace memod
