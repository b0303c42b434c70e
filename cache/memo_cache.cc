// The rules that hold here:
//  1. A computation stores its answer only if its flight is still joinable (flights.h). Clear, Forget
//     and Detach make flights solo; a refresh, and a call from outside that finds a nested one,
//     start a new one in its place. So nothing begun before a clear or a change is ever seen after
//     it.
//  2. Nothing foreign runs under mutex_. What is removed is kept in a local declared before the
//     lock, and so is freed after it; waiters are told after it.
//  3. Whoever ends a flight tells its waiters: Complete, Abandon, Abort, or Leave of the last one.
//  4. Whoever calls into a flight holds a reference, so that none is destroyed under mutex_.
#include "memod/cache/memo_cache.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memod/cache/memo_error.h"

namespace memod {
namespace {

bool IsLookup(Control control) {
  return control == Control::kNone || control == Control::kNoStore ||
         control == Control::kOnlyIfCached;
}

// Whether an error is one that the method's policy remembers. memod's own never is, nor any of a
// nested call, which may restate one: they tell of the call, not of what was asked.
bool IsRemembered(const absl::Status& error, const Flight& flight) {
  return flight.parent() == nullptr && flight.method().policy.negative.contains(error.code()) &&
         !error.GetPayload({kMemoErrorPayload.data(), kMemoErrorPayload.size()});
}

// Not below zero, should the answer be younger than the caller's look at the clock.
Duration AgeOf(const Answer& answer, Time now) {
  return std::max(Duration::zero(), now - answer.computed_at());
}

// What the caller of a lookup is told: a remembered error becomes that error.
Outcome Hit(Answer::Ref answer, Duration age) {
  if (answer->code() == absl::StatusCode::kOk) return {std::move(answer), CacheStatus::kHit, age};
  return {answer->status(), CacheStatus::kHit, age};
}

}  // namespace

MemoCache::MemoCache(Private, CacheContext& context, int max_depth, bool of_session)
    : context_(context), max_depth_(max_depth), of_session_(of_session) {
  context_.caches.fetch_add(1, std::memory_order_relaxed);
}

std::shared_ptr<MemoCache> MemoCache::Make(CacheContext& context, int max_depth, bool of_session) {
  return std::make_shared<MemoCache>(Private(), context, max_depth, of_session);
}

MemoCache::~MemoCache() {
  Detach();
  context_.caches.fetch_sub(1, std::memory_order_relaxed);
}

void MemoCache::MakeContents() {
  if (contents_ != nullptr) return;
  contents_.reset(new Contents{{context_, mutex_, of_session_}, Flights(context_)});
}

// Calls

MemoCache::Result MemoCache::GetOrCompute(
    const Call& call, absl::FunctionRef<void(std::shared_ptr<Flight>)> compute) {
  if (call.parent != nullptr && call.parent->cancelled()) {
    return Outcome{absl::CancelledError("nobody waits for the call that makes this one")};
  }
  MethodCaches::Removed removed;
  Answer::Ref found;
  Duration age;
  Refusal refusal = Refusal::kNone;
  std::shared_ptr<Flight> started;
  {
    MutexLock lock(mutex_);
    if (detached_ && call.parent == nullptr) return Detached{};
    MakeContents();
    if (!detached_ && IsLookup(call.control)) {
      if (const Answer* answer =
              contents_->caches.Lookup(call.method, call.key, call.now, removed)) {
        found = LruCache::Share(answer);
        age = AgeOf(*answer, call.now);
      }
    }
    if (!found) {
      refusal = Check(call);
      Flights& flights = contents_->flights;
      Flight* const under_way = refusal == Refusal::kNone ? flights.FindToJoin(call) : nullptr;
      if (under_way != nullptr) {
        if (!flights.IsFull(*under_way)) {
          ++contents_->caches.counters(call.method).coalesced;
          return flights.Join(*under_way, call);
        }
        refusal = Refusal::kTooManyWaiters;
      }
      if (refusal == Refusal::kNone) {
        const bool counted = call.control != Control::kBypass && !detached_;
        started = flights.Start(shared_from_this(), call, counted);
      }
    }
  }
  if (found) return Hit(std::move(found), age);
  if (refusal != Refusal::kNone) return Refuse(call, refusal);
  compute(started);
  return started;
}

void MemoCache::FindHits(std::span<const Sought> sought, Time now, Tell tell) {
  MutexLock lock(mutex_);
  if (detached_ || contents_ == nullptr) return;
  MethodCaches& caches = contents_->caches;
  for (size_t i = 0; i < sought.size(); ++i) {
    if (i % MethodCaches::kAhead == 0) {
      caches.Prefetch(sought.subspan(i, std::min(MethodCaches::kAhead, sought.size() - i)));
    }
    const Answer* answer = caches.LookupHit(*sought[i].method, sought[i].key, now);
    if (answer != nullptr && !tell(i, {*answer, AgeOf(*answer, now)})) return;
  }
}

MemoCache::Refusal MemoCache::Check(const Call& call) const {
  if (call.control == Control::kOnlyIfCached) return Refusal::kNotCached;
  for (const Flight* f = call.parent; f != nullptr; f = f->parent()) {
    if (&f->cache() == this && f->key() == call.key) return Refusal::kRecursion;
  }
  if (call.parent != nullptr && call.parent->depth() >= max_depth_) return Refusal::kTooDeep;
  return !call.may_wait || (*call.may_wait)() ? Refusal::kNone : Refusal::kMayNotWait;
}

MemoCache::Result MemoCache::Refuse(const Call& call, Refusal refusal) const {
  const auto outcome = [&](absl::StatusCode code, std::string_view error, const auto&... words) {
    return Outcome{MemoError(code, error, absl::StrCat(call.method.name, ": ", words...))};
  };
  switch (refusal) {
    case Refusal::kNotCached:
      return outcome(absl::StatusCode::kFailedPrecondition, memo_error::kNotCached,
                     "no answer is remembered, and memo-control is only-if-cached");
    case Refusal::kRecursion:
      return outcome(absl::StatusCode::kFailedPrecondition, memo_error::kRecursion,
                     "the call needs its own answer");
    case Refusal::kTooDeep:
      return outcome(absl::StatusCode::kResourceExhausted, memo_error::kLimit, "nested calls ",
                     call.parent->depth() + 1, " deep, limit ", max_depth_, " (compute.max_depth)");
    case Refusal::kTooManyWaiters:
      return outcome(absl::StatusCode::kResourceExhausted, memo_error::kLimit,
                     *context_.limits.max_waiters, " calls wait for this computation, limit ",
                     *context_.limits.max_waiters, " (compute.max_waiters)");
    case Refusal::kMayNotWait:
    case Refusal::kNone:
      break;
  }
  return Refused{};
}

// Flights

bool MemoCache::Begin(Flight& flight, Time now) {
  MutexLock lock(mutex_);
  if (!contents_->flights.Begin(flight, now)) return false;
  if (Counters* counters = CountersOf(flight)) ++counters->computations;
  return true;
}

void MemoCache::Complete(Flight& flight, absl::StatusOr<Answer::Ref> answer, Time now) {
  MethodCaches::Removed removed;
  Flights::Waiters waiters;
  absl::AnyInvocable<void()> untold;  // let go after the lock
  std::optional<Outcome> stale;
  MethodCaches* caches = nullptr;
  bool enters = false;
  {
    MutexLock lock(mutex_);
    caches = &contents_->caches;
    Flights& flights = contents_->flights;
    const double took = flights.EndComputing(flight, now, untold);
    Counters* counters = CountersOf(flight);
    if (counters != nullptr) counters->compute_seconds += took;  // whoever may still wait for it
    if (!flights.running(flight)) return;  // nobody waits: a late answer is discarded
    // A nested computation that was given up together with its parent has not failed, and what it
    // returns is nobody's answer. It may have seen that it is cancelled only if this sees it too.
    const bool given_up = flight.cancelled();
    if (!answer.ok() && counters != nullptr && !given_up) ++counters->errors;
    const bool good = answer.ok() || IsRemembered(answer.status(), flight);
    if (good && !given_up && flights.joinable(flight)) {
      if (context_.storing.load(std::memory_order_relaxed)) {
        const Answer::Ref stored =
            answer.ok() ? *answer : Answer::OfError(flight.key(), answer.status());
        enters = caches->Insert(flight.method(), stored, now, static_cast<float>(took), removed);
      } else {
        caches->Forget(flight.method(), flight.key(), removed);  // what it would have replaced
      }
    }
    if (!answer.ok() && !detached_) stale = FindStale(flight, answer.status(), now);
    waiters = flights.End(flight);
  }
  if (enters) caches->EnterBudgets(flight.method());
  // Before the waiters are told: whoever has the answer sees the bounds hold.
  caches->Enforce(flight.method(), now);
  for (const auto& waiting : waiters) {
    waiting.waiter->OnAnswer(stale ? *stale : Outcome{answer, waiting.status});
  }
}

std::optional<Outcome> MemoCache::FindStale(const Flight& flight, const absl::Status& error,
                                            Time now) const {
  // A bypass reads nothing.
  if (!absl::IsUnavailable(error) || !flight.counted()) return std::nullopt;
  const Answer* answer = contents_->caches.FindStale(flight.method(), flight.key(), now);
  if (answer == nullptr) return std::nullopt;
  return Outcome{LruCache::Share(answer), CacheStatus::kStale, AgeOf(*answer, now)};
}

void MemoCache::OnCancel(Flight& flight, absl::AnyInvocable<void()> f) {
  {
    MutexLock lock(mutex_);
    if (!contents_->flights.OnCancel(flight, f)) return;  // what was there is let go after the lock
  }
  f();
}

void MemoCache::Abandon(Flight& flight, const absl::Status& error) {
  Flights::Cancelled cancelled;
  {
    MutexLock lock(mutex_);
    if (!contents_->flights.running(flight)) return;
    if (Counters* counters = CountersOf(flight)) ++counters->errors;
    cancelled = contents_->flights.Cancel(flight);
  }
  for (const auto& waiting : cancelled.waiters) waiting.waiter->OnAnswer({error, waiting.status});
  if (cancelled.tell_computation) cancelled.tell_computation();
}

bool MemoCache::Leave(Flight& flight, Waiter* waiter) {
  Flights::Cancelled cancelled;
  {
    MutexLock lock(mutex_);
    if (!contents_->flights.Leave(flight, waiter, cancelled)) return false;
  }
  if (cancelled.tell_computation) cancelled.tell_computation();
  return true;
}

void MemoCache::Abort(const Session* session, MakeError error) {
  std::vector<Flights::Cancelled> cancelled;
  Flights::Waiters aborted;
  {
    MutexLock lock(mutex_);
    if (contents_ == nullptr) return;
    aborted = contents_->flights.LeaveAll(session, cancelled);
  }
  for (const auto& waiting : aborted) waiting.waiter->OnAnswer({error(), waiting.status});
  for (auto& each : cancelled) {
    if (each.tell_computation) each.tell_computation();
  }
}

Counters* MemoCache::CountersOf(const Flight& flight) {
  return flight.counted() && !detached_ ? &contents_->caches.counters(flight.method()) : nullptr;
}

// Reading and dropping

CacheInfo MemoCache::Info(const MemoizedMethod& method) const {
  MutexLock lock(mutex_);
  return contents_ == nullptr ? MethodCaches::InfoOfUnused(method) : contents_->caches.Info(method);
}

MemoCache::History MemoCache::GetHistory() const {
  MutexLock lock(mutex_);
  return HistoryLocked();
}

MemoCache::History MemoCache::HistoryLocked() const {
  History history;
  if (contents_ == nullptr) return history;
  contents_->caches.ForEachMethod([&](const MemoizedMethod& method, const CacheInfo& info) {
    history.push_back({&method, info});
  });
  return history;
}

std::optional<Duration> MemoCache::Age(const MemoizedMethod& method, const CacheKey& key,
                                       Time now) const {
  MutexLock lock(mutex_);
  if (contents_ == nullptr) return std::nullopt;
  const Answer* answer = contents_->caches.Peek(method, key, now);
  if (answer == nullptr) return std::nullopt;
  return AgeOf(*answer, now);
}

Receipt MemoCache::Forget(const MemoizedMethod& method, const CacheKey& key) {
  MethodCaches::Removed removed;
  MutexLock lock(mutex_);
  if (contents_ == nullptr) return {};
  contents_->flights.MakeSolo(key);
  return contents_->caches.Forget(method, key, removed);
}

MemoCache::Released MemoCache::Clear(const MemoizedMethod* method) {
  Released released;
  MethodCaches::Garbage garbage;
  {
    MutexLock lock(mutex_);
    if (contents_ == nullptr) return released;
    released = ClearLocked(method, garbage);
  }
  Reap(std::move(garbage), released.receipt.bytes);
  return released;
}

MemoCache::Released MemoCache::ClearLocked(const MemoizedMethod* method,
                                           MethodCaches::Garbage& garbage) {
  Released released;
  released.receipt = contents_->caches.Clear(method, garbage);
  released.history = HistoryLocked();
  contents_->flights.MakeSolo(method);
  return released;
}

void MemoCache::Reap(MethodCaches::Garbage garbage, int64_t bytes) {
  for (auto& each : garbage) context_.reaper.Add(std::move(each));
  context_.reaper.Reclaim(bytes);
}

MemoCache::Released MemoCache::Detach() {
  Released released;
  MethodCaches::Garbage garbage;
  MethodCaches* caches = nullptr;
  {
    MutexLock lock(mutex_);
    if (std::exchange(detached_, true) || contents_ == nullptr) return released;
    caches = &contents_->caches;
    released = ClearLocked(nullptr, garbage);
  }
  caches->LeaveBudgets();
  Reap(std::move(garbage), released.receipt.bytes);
  return released;
}

}  // namespace memod
