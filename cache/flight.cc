#include "memod/cache/flight.h"

#include <utility>

#include "memod/cache/memo_cache.h"

namespace memod {

Flight::Flight(std::shared_ptr<MemoCache> cache, const CacheCall& call, bool counted)
    : cache_(std::move(cache)),
      method_(call.method),
      request_(call.request.value_or(call.key.bytes())),
      key_bytes_(call.request ? call.key.bytes() : std::string_view()),
      key_(call.key.method(), call.request ? key_bytes_ : request_, call.key.hash()),
      metadata_(call.metadata == nullptr ? Metadata() : *call.metadata),
      self_(call.self),
      parent_(call.parent),
      depth_(parent_ == nullptr ? 1 : parent_->depth_ + 1),
      counted_(counted),
      deadline_(call.now + method_.policy.compute_timeout) {
  cache_->context_.flights.fetch_add(1, std::memory_order_relaxed);
}

Flight::~Flight() { cache_->context_.flights.fetch_sub(1, std::memory_order_relaxed); }

bool Flight::cancelled() const {
  // Nobody but the call that it runs within waits for a nested flight.
  for (const Flight* flight = this; flight != nullptr; flight = flight->parent_) {
    if (flight->cancelled_.load(std::memory_order_acquire)) return true;
  }
  return false;
}

bool Flight::Begin(Time now) { return cache_->Begin(*this, now); }

void Flight::OnCancel(absl::AnyInvocable<void()> f) { cache_->OnCancel(*this, std::move(f)); }

void Flight::Complete(absl::StatusOr<Answer::Ref> answer, Time now) {
  cache_->Complete(*this, std::move(answer), now);
}

void Flight::Abandon(const absl::Status& error) { cache_->Abandon(*this, error); }

bool Flight::Leave(Waiter* waiter) { return cache_->Leave(*this, waiter); }

}  // namespace memod
