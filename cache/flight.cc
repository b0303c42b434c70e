#include "memod/cache/flight.h"

#include <utility>

#include "memod/cache/memo_cache.h"

namespace memod {

Flight::Flight(std::shared_ptr<MemoCache> cache, const MemoizedMethod& method, const CacheKey& key,
               std::shared_ptr<const void> instance, const Flight* parent, bool counted, Time now)
    : cache_(std::move(cache)),
      method_(method),
      request_(key.request()),
      key_(key.method(), request_, key.hash()),
      instance_(std::move(instance)),
      parent_(parent),
      depth_(parent == nullptr ? 1 : parent->depth_ + 1),
      counted_(counted),
      deadline_(now + method.policy.compute_timeout) {
  cache_->context_.flights.fetch_add(1, std::memory_order_relaxed);
}

Flight::~Flight() { cache_->context_.flights.fetch_sub(1, std::memory_order_relaxed); }

bool Flight::cancelled() const {
  if (cancelled_.load(std::memory_order_acquire)) return true;
  // Of a nested flight one waiter is the call that it runs within, which never leaves by itself:
  // with no other, it is wanted as long as its parent is. From 1 to 0 in one step, against a Join.
  if (parent_ == nullptr || waiting_.load() > 1 || !parent_->cancelled()) return false;
  int waiting = 1;
  return waiting_.compare_exchange_strong(waiting, 0) || waiting == 0;
}

bool Flight::Begin(Time now) { return cache_->Begin(*this, now); }

void Flight::Complete(absl::StatusOr<Answer::Ref> answer, Time now) {
  cache_->Complete(*this, std::move(answer), now);
}

void Flight::Abandon(const absl::Status& error) { cache_->Abandon(*this, error); }

bool Flight::Leave(Waiter* waiter) { return cache_->Leave(*this, waiter); }

}  // namespace memod
