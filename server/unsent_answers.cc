#include "memod/server/unsent_answers.h"

#include <algorithm>

namespace memod {

void UnsentAnswers::Add(UnsentAnswer& answer, grpc::CallbackServerContext& context, size_t bytes) {
  Stripe& stripe = stripes_.Mine();
  answer.stripe_ = &stripe;
  answer.context_ = &context;
  answer.bytes_ = bytes;
  answer.sending_.Begin(bytes);
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
  // Those that were cut go by themselves, which is no sign that their client reads.
  ForEach([](UnsentAnswer& answer) {
    if (answer.client_ != nullptr && !answer.sending_.told()) {
      answer.client_->still += answer.bytes_;
    }
  });
  for (auto& [peer, client] : clients_) {
    const size_t gone = client.bytes - std::min(client.still, client.bytes);
    client = {.reads = gone >= WriteLooks::kBytes};
  }
  std::vector<StalledCall> stalled;
  ForEach([&](UnsentAnswer& answer) {
    if (answer.client_ == nullptr) answer.client_ = &clients_[answer.context_->peer()];
    Client& client = *answer.client_;
    ++client.answers;
    if (!client.reads && answer.sending_.Look()) stalled.emplace_back(*answer.context_);
    if (!answer.sending_.told()) client.bytes += answer.bytes_;
  });
  std::erase_if(clients_, [](const auto& client) { return client.second.answers == 0; });
  return stalled;
}

int64_t UnsentAnswers::bytes() const {
  size_t bytes = 0;
  for (const Stripe& stripe : stripes_) {
    MutexLock lock(stripe.mutex);
    for (const UnsentAnswer* answer = stripe.first; answer != nullptr; answer = answer->next_) {
      bytes += answer->bytes_;
    }
  }
  return static_cast<int64_t>(bytes);
}

UnsentAnswer::~UnsentAnswer() {
  if (stripe_ == nullptr) return;
  MutexLock lock(stripe_->mutex);
  (previous_ == nullptr ? stripe_->first : previous_->next_) = next_;
  if (next_ != nullptr) next_->previous_ = previous_;
}

}  // namespace memod
