#include "memod/server/unsent_answers.h"

#include <algorithm>
#include <map>
#include <string>

namespace memod {

void UnsentAnswers::Add(UnsentAnswer& answer, grpc::CallbackServerContext& context, size_t bytes) {
  if (!watched_) return;
  Stripe& stripe = stripes_.Mine();
  answer.stripe_ = &stripe;
  answer.context_ = &context;
  answer.bytes_ = bytes;
  MutexLock lock(stripe.mutex);
  answer.next_ = stripe.first;
  if (stripe.first != nullptr) stripe.first->previous_ = &answer;
  stripe.first = &answer;
}

template <typename Visit>
void UnsentAnswers::ForEach(const Visit& visit) {
  for (Stripe& stripe : stripes_) {
    // Who leaves waits for this, so the calls are there.
    MutexLock lock(stripe.mutex);
    for (UnsentAnswer* answer = stripe.first; answer != nullptr; answer = answer->next_) {
      visit(*answer);
    }
  }
}

std::vector<StalledCall> UnsentAnswers::Stalled() {
  std::map<std::string, size_t> to_client;  // bytes
  ForEach([&](UnsentAnswer& answer) { to_client[answer.context_->peer()] += answer.bytes_; });
  std::vector<StalledCall> stalled;
  ForEach([&](UnsentAnswer& answer) {
    WriteLooks& sending = answer.sending_;
    if (!sending.under_way()) {
      sending.Begin(std::max(to_client[answer.context_->peer()], answer.bytes_));
    }
    if (sending.Look()) stalled.emplace_back(*answer.context_);
  });
  return stalled;
}

UnsentAnswer::~UnsentAnswer() {
  if (stripe_ == nullptr) return;
  MutexLock lock(stripe_->mutex);
  (previous_ == nullptr ? stripe_->first : previous_->next_) = next_;
  if (next_ != nullptr) next_->previous_ = previous_;
}

}  // namespace memod
