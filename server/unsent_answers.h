// Answers to unary calls that gRPC has been given to send and has not sent yet, so that those are
// found whose clients have stopped reading.
//
// As cheap as a hit wants it, some 15 ns: nothing is allocated, and threads seldom share a lock.
#pragma once

#include <grpcpp/server_context.h>

#include <cstddef>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "memod/cache/mutex.h"
#include "memod/server/stalled_call.h"
#include "memod/server/stripes.h"
#include "memod/server/write_clock.h"

namespace memod {

class UnsentAnswer;

// Thread-safe.
class UnsentAnswers {
 public:
  // `watched` false: nobody asks for those that are stalled, so none is kept.
  explicit UnsentAnswers(bool watched) : watched_(watched) {}

  // Before the call is finished with an answer of so many bytes: from then on it is one of these, for
  // as long as it lives. `context` outlives it. Not for an error without an answer, which no client
  // can hold back.
  void Add(UnsentAnswer& answer, grpc::CallbackServerContext& context, size_t bytes);

  // Those whose clients do not read; by the WriteClock. Answers to one client may wait for one another,
  // so each has the time of all that are on their way to it when the clock sees it first.
  std::vector<StalledCall> Stalled();

 private:
  friend class UnsentAnswer;
  struct alignas(64) Stripe {
    Mutex mutex;
    UnsentAnswer* first ABSL_GUARDED_BY(mutex) = nullptr;
  };

  template <typename Visit>
  void ForEach(const Visit& visit);

  const bool watched_;
  Stripes<Stripe> stripes_;
};

// A member of what gRPC lets go of when the call is done: its reactor, or its response.
class UnsentAnswer {
 public:
  UnsentAnswer() = default;
  ~UnsentAnswer();
  UnsentAnswer(const UnsentAnswer&) = delete;
  UnsentAnswer& operator=(const UnsentAnswer&) = delete;

 private:
  friend class UnsentAnswers;
  UnsentAnswers::Stripe* stripe_ = nullptr;  // null: not, or not yet, one of them

  // Guarded by the stripe's mutex.
  UnsentAnswer* previous_ = nullptr;
  UnsentAnswer* next_ = nullptr;
  grpc::CallbackServerContext* context_ = nullptr;
  size_t bytes_ = 0;
  WriteLooks sending_;  // once the clock has seen it
};

}  // namespace memod
