#include "memod/server/admission.h"

#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "memod/cache/memo_error.h"

namespace memod {
namespace {

absl::Status TooMany(const char* whose, std::optional<int64_t> limit, const char* key) {
  return MemoError(absl::StatusCode::kResourceExhausted, memo_error::kLimit,
                   absl::StrCat("too many calls", whose, ": ", *limit, " are in flight, limit ",
                                *limit, " (", key, ")"));
}

bool Exceeds(int64_t others, std::optional<int64_t> limit) {
  return others >= limit.value_or(std::numeric_limits<int64_t>::max());
}

}  // namespace

void Admission::Place::GiveBack() {
  if (admission_ == nullptr) return;
  admission_->in_flight_.fetch_sub(1, std::memory_order_relaxed);
  if (session_ != nullptr) session_->calls_in_flight().fetch_sub(1, std::memory_order_relaxed);
}

Admission::Place& Admission::Place::operator=(Place&& other) noexcept {
  GiveBack();
  admission_ = std::exchange(other.admission_, nullptr);
  session_ = std::move(other.session_);
  return *this;
}

absl::StatusOr<Admission::Place> Admission::Enter(std::shared_ptr<Session> session) {
  const int64_t of_session =
      session == nullptr ? 0 : session->calls_in_flight().fetch_add(1, std::memory_order_relaxed);
  const int64_t of_all = in_flight_.fetch_add(1, std::memory_order_relaxed);
  Place place(*this, std::move(session));
  if (Exceeds(of_session, limits_.max_session_calls)) {
    return TooMany(" of this session", limits_.max_session_calls, "session.max_calls");
  }
  if (Exceeds(of_all, limits_.max_calls)) return TooMany("", limits_.max_calls, "server.max_calls");
  return place;
}

}  // namespace memod
