// Answers to unary calls that gRPC has been given to send and has not sent yet: their bytes are
// counted, and those are found whose clients have stopped reading.
//
// As cheap as a hit wants it, some 15 ns: nothing is allocated, and threads seldom share a lock.
#pragma once

#include <grpcpp/server_context.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
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
  // Before the call is finished with an answer of so many bytes: from then on it is one of these, for
  // as long as it lives. `context` outlives it. Not for an error without an answer, which no client
  // can hold back.
  void Add(UnsentAnswer& answer, grpc::CallbackServerContext& context, size_t bytes);

  // Those whose clients do not read; by the WriteClock alone. Answers to one client may wait for one
  // another: while it takes others at the rate at which a large one may be read, none is stalled.
  std::vector<StalledCall> Stalled();

  int64_t bytes() const;

 private:
  friend class UnsentAnswer;
  struct alignas(64) Stripe {
    mutable Mutex mutex;
    UnsentAnswer* first ABSL_GUARDED_BY(mutex) = nullptr;
  };

  // Where answers go that the clock has seen.
  struct Client {
    size_t answers = 0;
    size_t bytes = 0;  // of these
    size_t still = 0;  // of the bytes at the last look, those that are on their way yet
    bool reads = false;
  };
  template <typename Visit>
  void ForEach(const Visit& visit);

  std::map<std::string, Client> clients_;  // by peer; the clock's own
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
  UnsentAnswers::Client* client_ = nullptr;  // null: the clock has not seen it yet
  WriteLooks sending_;
};

}  // namespace memod
