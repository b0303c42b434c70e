// The rules that hold here:
//  1. A computation stores its answer only if `flights` still holds that very flight under its key.
//     Clear, Forget and Detach take flights out; a refresh, and a call from outside that finds a
//     nested one, put a new one in place. bypass, no-store, methods that store nothing, and a
//     second equal call that may not join are solo: in `running`, never in `flights`. So nothing begun
//     before a clear or a change is ever seen after it.
//  2. Nothing foreign runs under mutex_. What is removed is kept in a local declared before the
//     lock, and so is freed after it; waiters are told after it.
//  3. Everybody in `running` has a waiter. A flight leaves it once, and whoever takes it out
//     tells its waiters: Complete, Abandon, Abort, or Leave of the last one.
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
  contents_.reset(new Contents{{context_, mutex_, of_session_}, {}, {}});
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
      Flight* const under_way = refusal == Refusal::kNone ? FindToJoin(call) : nullptr;
      if (under_way != nullptr) {
        if (!IsFull(*under_way)) return Join(*under_way, call);
        refusal = Refusal::kTooManyWaiters;
      }
      if (refusal == Refusal::kNone) started = Start(call);
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
    if (f->cache_.get() == this && f->key() == call.key) return Refusal::kRecursion;
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

Flight* MemoCache::FindToJoin(const Call& call) {
  if (call.control != Control::kNone || call.parent != nullptr || !call.method.policy.coalesce) {
    return nullptr;
  }
  const auto it = contents_->flights.find(call.key);
  if (it == contents_->flights.end()) return nullptr;
  Flight& flight = *it->second;
  if (flight.parent() == nullptr) return &flight;
  // Its answer may be an error of that chain alone: another flight takes its place.
  MakeSolo(flight);
  return nullptr;
}

bool MemoCache::IsFull(Flight& flight) const {
  const auto waiting = static_cast<int64_t>(StateOf(flight).waiters.size());
  return waiting >= context_.limits.max_waiters.value_or(waiting + 1);
}

std::shared_ptr<Flight> MemoCache::Join(Flight& flight, const Call& call) {
  ++contents_->caches.counters(call.method).coalesced;
  AddWaiter(flight, {call.waiter, CacheStatus::kCoalesced, call.session});
  return *StateOf(flight).position;
}

std::shared_ptr<Flight> MemoCache::Start(const Call& call) {
  const bool bypass = call.control == Control::kBypass;
  const bool counted = !bypass && !detached_;
  std::shared_ptr<Flight> flight(new Flight(shared_from_this(), call, counted));
  Flight::State& state = StateOf(*flight);
  AddWaiter(*flight,
            {call.waiter, bypass ? CacheStatus::kBypass : CacheStatus::kMiss, call.session});
  state.position = contents_->running.insert(contents_->running.end(), flight);
  state.running = true;
  const bool refresh = call.control == Control::kRefresh;
  if (!counted || !call.method.policy.stores() || !(refresh || call.control == Control::kNone)) {
    return flight;
  }
  const auto it = contents_->flights.find(call.key);
  if (it != contents_->flights.end()) {
    if (!refresh) return flight;
    MakeSolo(*it->second);  // it keeps its waiters and stores nothing
  }
  contents_->flights.emplace(flight->key(), flight.get());
  state.joinable = true;
  return flight;
}

// Flights

bool MemoCache::Begin(Flight& flight, Time now) {
  MutexLock lock(mutex_);
  Flight::State& state = StateOf(flight);
  if (!state.running) return false;
  state.begun_at = now;
  if (Counters* counters = CountersOf(flight)) ++counters->computations;
  return true;
}

void MemoCache::Complete(Flight& flight, absl::StatusOr<Answer::Ref> answer, Time now) {
  MethodCaches::Removed removed;
  Flight::Waiters waiters;
  absl::AnyInvocable<void()> untold;  // let go after the lock
  std::optional<Outcome> stale;
  MethodCaches* caches = nullptr;
  bool enters = false;
  {
    MutexLock lock(mutex_);
    caches = &contents_->caches;
    Flight::State& state = StateOf(flight);
    untold = std::exchange(state.on_cancel, nullptr);
    const double took = state.begun_at ? ToSeconds(now - *state.begun_at) : 0;
    state.begun_at = std::nullopt;
    Counters* counters = CountersOf(flight);
    if (counters != nullptr) counters->compute_seconds += took;  // whoever may still wait for it
    if (!state.running) return;  // nobody waits: a late answer is discarded
    // A nested computation that was given up together with its parent has not failed, and what it
    // returns is nobody's answer. It may have seen that it is cancelled only if this sees it too.
    const bool given_up = flight.cancelled();
    if (!answer.ok() && counters != nullptr && !given_up) ++counters->errors;
    const bool good = answer.ok() || IsRemembered(answer.status(), flight);
    if (good && !given_up && state.joinable) {
      if (context_.storing.load(std::memory_order_relaxed)) {
        const Answer::Ref stored =
            answer.ok() ? *answer : Answer::OfError(flight.key(), answer.status());
        enters = caches->Insert(flight.method_, stored, now, static_cast<float>(took), removed);
      } else {
        caches->Forget(flight.method_, flight.key(), removed);  // what it would have replaced
      }
    }
    if (!answer.ok() && !detached_) stale = FindStale(flight, answer.status(), now);
    waiters = End(flight);
  }
  if (enters) caches->EnterBudgets(flight.method_);
  // Before the waiters are told: whoever has the answer sees the bounds hold.
  caches->Enforce(flight.method_, now);
  for (const auto& waiting : waiters) {
    waiting.waiter->OnAnswer(stale ? *stale : Outcome{answer, waiting.status});
  }
}

std::optional<Outcome> MemoCache::FindStale(const Flight& flight, const absl::Status& error,
                                            Time now) const {
  // A bypass reads nothing.
  if (!absl::IsUnavailable(error) || !flight.counted_) return std::nullopt;
  const Answer* answer = contents_->caches.FindStale(flight.method_, flight.key(), now);
  if (answer == nullptr) return std::nullopt;
  return Outcome{LruCache::Share(answer), CacheStatus::kStale, AgeOf(*answer, now)};
}

void MemoCache::OnCancel(Flight& flight, absl::AnyInvocable<void()> f) {
  {
    MutexLock lock(mutex_);
    if (StateOf(flight).running) {
      std::swap(StateOf(flight).on_cancel, f);  // what was there is let go after the lock
      return;
    }
    if (!flight.cancelled_.load(std::memory_order_relaxed)) return;  // it has ended
  }
  f();
}

void MemoCache::Abandon(Flight& flight, const absl::Status& error) {
  Flight::Waiters waiters;
  Cancelled cancelled;
  {
    MutexLock lock(mutex_);
    if (!StateOf(flight).running) return;
    if (Counters* counters = CountersOf(flight)) ++counters->errors;
    waiters = End(flight);
    cancelled = Cancel(flight);
  }
  for (const auto& waiting : waiters) waiting.waiter->OnAnswer({error, waiting.status});
  if (cancelled.tell) cancelled.tell();
}

bool MemoCache::Leave(Flight& flight, Waiter* waiter) {
  Cancelled cancelled;
  {
    MutexLock lock(mutex_);
    Flight::Waiters& waiters = StateOf(flight).waiters;
    const auto it = std::find_if(waiters.begin(), waiters.end(),
                                 [&](const auto& waiting) { return waiting.waiter == waiter; });
    if (it == waiters.end()) return false;
    waiters.erase(it);
    CountWaiters(-1);
    if (waiters.empty()) {
      End(flight);
      cancelled = Cancel(flight);
    }
  }
  if (cancelled.tell) cancelled.tell();
  return true;
}

void MemoCache::Abort(const Session* session, MakeError error) {
  std::vector<std::shared_ptr<Flight>> ended;  // let go after the lock
  std::vector<Cancelled> cancelled;
  Flight::Waiters aborted;
  {
    MutexLock lock(mutex_);
    if (contents_ == nullptr) return;
    auto& running = contents_->running;
    for (auto next = running.begin(); next != running.end();) {
      const auto here = next++;
      Flight::Waiters& waiters = StateOf(**here).waiters;
      const auto theirs = std::stable_partition(waiters.begin(), waiters.end(), [&](const auto& w) {
        return session != nullptr && w.session != session;
      });
      CountWaiters(theirs - waiters.end());
      aborted.insert(aborted.end(), theirs, waiters.end());
      waiters.erase(theirs, waiters.end());
      if (!waiters.empty()) continue;
      const std::shared_ptr<Flight> flight = *here;
      End(*flight);
      cancelled.push_back(Cancel(*flight));
      ended.push_back(flight);
    }
  }
  for (const auto& waiting : aborted) waiting.waiter->OnAnswer({error(), waiting.status});
  for (Cancelled& each : cancelled) {
    if (each.tell) each.tell();
  }
}

MemoCache::Cancelled MemoCache::Cancel(Flight& flight) {
  flight.cancelled_.store(true, std::memory_order_release);
  Cancelled cancelled;
  // What has not begun never will, but may be queued for long yet: it need not keep its instance.
  if (!StateOf(flight).begun_at) cancelled.unused = std::move(flight.self_);
  cancelled.tell = std::exchange(StateOf(flight).on_cancel, nullptr);
  return cancelled;
}

Counters* MemoCache::CountersOf(const Flight& flight) {
  return flight.counted_ && !detached_ ? &contents_->caches.counters(flight.method_) : nullptr;
}

void MemoCache::MakeSolo(Flight& flight) {
  if (!std::exchange(StateOf(flight).joinable, false)) return;
  contents_->flights.erase(flight.key());
}

Flight::Waiters MemoCache::End(Flight& flight) {
  MakeSolo(flight);
  Flight::State& state = StateOf(flight);
  state.running = false;
  contents_->running.erase(state.position);
  Flight::Waiters waiters;
  waiters.swap(state.waiters);
  CountWaiters(-static_cast<int64_t>(waiters.size()));
  return waiters;
}

void MemoCache::AddWaiter(Flight& flight, const Flight::Waiting& waiting) {
  StateOf(flight).waiters.push_back(waiting);
  CountWaiters(1);
}

void MemoCache::CountWaiters(int64_t change) {
  context_.waiters.fetch_add(change, std::memory_order_relaxed);
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
  auto& flights = contents_->flights;
  if (const auto it = flights.find(key); it != flights.end()) MakeSolo(*it->second);
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
  for (auto& flight : contents_->running) {
    if (method == nullptr || &flight->method_ == method) MakeSolo(*flight);
  }
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
