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

// Counts one more, unless as many are counted as may be.
bool Count(std::atomic<int64_t>& counted, std::optional<int64_t> limit) {
  int64_t others = counted.load(std::memory_order_relaxed);
  while (others < limit.value_or(std::numeric_limits<int64_t>::max())) {
    if (counted.compare_exchange_weak(others, others + 1, std::memory_order_relaxed)) return true;
  }
  return false;
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
  Place place;
  const Full full = TryEnter(std::move(session), place);
  if (full != Full::kNone) return Refuse(full);
  return place;
}

Admission::Full Admission::TryEnter(std::shared_ptr<Session> session, Place& place) {
  if (!Count(in_flight_, limits_.max_calls)) return Full::kServer;
  if (session != nullptr && !Count(session->calls_in_flight(), limits_.max_session_calls)) {
    in_flight_.fetch_sub(1, std::memory_order_relaxed);
    return Full::kSession;
  }
  place = Place(*this, std::move(session));
  return Full::kNone;
}

absl::Status Admission::Refuse(Full full) const {
  switch (full) {
    case Full::kServer:
      return TooMany("", limits_.max_calls, "server.max_calls");
    case Full::kSession:
      return TooMany(" of this session", limits_.max_session_calls, "session.max_calls");
    case Full::kNone:
      break;
  }
  return absl::OkStatus();
}

}  // namespace memod
