// A computation under way, and those who wait for it.
//
// A flight belongs to its MemoCache, not to its first caller: one caller's leaving ends that caller
// alone, and the computation is cancelled when the last one leaves. Whoever computes calls Begin,
// looks at cancelled() now and then, and calls Complete once. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/inlined_vector.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "memod/cache/answer.h"
#include "memod/cache/cache_key.h"
#include "memod/cache/time.h"

namespace memod {

class Flights;
class MemoCache;
class Session;
struct CacheCall;
struct MemoizedMethod;

// What a session's computations run on; what `self` is to a method.
struct Self {
  std::shared_ptr<const void> instance;  // of a hosted class; null: none
  Metadata metadata;                     // captured when the session was opened
};

// How an answer came: what goes out as `memo-cache`.
enum class CacheStatus {
  kHit,
  kMiss,
  kCoalesced,  // waited for an equal call's computation
  kBypass,
  kStale,  // expired, given because computing failed
};

// What a caller is told.
struct Outcome {
  absl::StatusOr<Answer::Ref> answer;  // never a reference to a remembered error, but the error
  CacheStatus status = CacheStatus::kMiss;
  Duration age = Duration::zero();  // of a hit or a stale answer: since it was computed
};

// Who waits for a flight.
class Waiter {
 public:
  // Called once, from any thread and under no lock, unless Leave returned true before.
  virtual void OnAnswer(const Outcome& outcome) = 0;

 protected:
  ~Waiter() = default;
};

class Flight {
 public:
  ~Flight();
  Flight(const Flight&) = delete;
  Flight& operator=(const Flight&) = delete;

  const MemoizedMethod& method() const { return method_; }
  std::string_view request() const { return request_; }
  // What the method's policy takes from its caller's metadata: key.metadata and forward.
  const Metadata& metadata() const { return metadata_; }
  const CacheKey& key() const { return key_; }
  // What the computation runs on, once it has begun. Null in server scope.
  const std::shared_ptr<const Self>& self() const { return self_; }
  MemoCache& cache() const { return *cache_; }
  // The flight whose computation makes this nested call; null: none. It outlives this flight's
  // computation, which runs within it.
  const Flight* parent() const { return parent_; }
  // 1 for a call from outside.
  int depth() const { return depth_; }
  // When the policy's compute_timeout is over.
  Time deadline() const { return deadline_; }
  // Whether the cache counts what becomes of it: not of a bypass.
  bool counted() const { return counted_; }

  // The computation begins now. False: nobody waits any more, and nothing needs to be computed.
  bool Begin(Time now);

  // Whether nobody waits for the answer any more.
  bool cancelled() const;

  // `f` is called once, under no lock, when nobody waits any more; at once if nobody does. Dropped
  // when the computation has ended, or if it has, or by a second call. For a computation that waits
  // elsewhere; of a nested flight only its own cancellation is told, not its parent's.
  void OnCancel(absl::AnyInvocable<void()> f);

  // Answers everybody who waits, and stores a good answer, which is made for this flight's key, if
  // the cache still holds this flight under it. Of several calls to Complete and Abandon the first
  // counts.
  void Complete(absl::StatusOr<Answer::Ref> answer, Time now);

  // Answers everybody with `error` and cancels the computation, whose answer will be discarded.
  void Abandon(const absl::Status& error);

  // `waiter` waits no longer. False: it is being answered, or was.
  bool Leave(Waiter* waiter);

 private:
  friend class Flights;
  struct Waiting {
    Waiter* waiter;
    CacheStatus status;
    const Session* session;  // whose call it is, only to be compared; null: nobody's
  };
  using Waiters = absl::InlinedVector<Waiting, 1>;
  // What the cache's mutex guards; reached by its Flights only.
  struct State {
    Waiters waiters;
    bool running = false;                  // see Flights; in its list at `position`
    bool joinable = false;                 // see Flights; in its map
    std::optional<Time> begun_at;          // being computed since: `self_` is in use
    absl::AnyInvocable<void()> on_cancel;  // null: nobody asked, or it was called
    std::list<std::shared_ptr<Flight>>::iterator position;
  };

  Flight(std::shared_ptr<MemoCache> cache, const CacheCall& call, bool counted);

  const std::shared_ptr<MemoCache> cache_;
  const MemoizedMethod& method_;
  const std::string request_;
  const std::string key_bytes_;  // empty where the key is over request_
  const CacheKey key_;
  const Metadata metadata_;
  std::shared_ptr<const Self> self_;  // gone if cancelled before it began
  const Flight* const parent_;
  const int depth_;
  const bool counted_;
  const Time deadline_;

  std::atomic<bool> cancelled_{false};
  State state_;
};

}  // namespace memod
