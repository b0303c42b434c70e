#include "memod/cache/flights.h"

#include <algorithm>
#include <utility>

#include "memod/cache/memo_cache.h"

namespace memod {

// Starting and joining

Flight* Flights::FindToJoin(const CacheCall& call) {
  if (call.control != Control::kNone || call.parent != nullptr || !call.method.policy.coalesce) {
    return nullptr;
  }
  const auto it = joinable_.find(call.key);
  if (it == joinable_.end()) return nullptr;
  Flight& flight = *it->second;
  if (flight.parent() == nullptr) return &flight;
  // Its answer may be an error of that chain alone: another flight takes its place.
  MakeSolo(flight);
  return nullptr;
}

bool Flights::IsFull(const Flight& flight) const {
  const auto waiting = static_cast<int64_t>(flight.state_.waiters.size());
  return waiting >= context_.limits.max_waiters.value_or(waiting + 1);
}

std::shared_ptr<Flight> Flights::Join(Flight& flight, const CacheCall& call) {
  AddWaiter(flight, {call.waiter, CacheStatus::kCoalesced, call.session});
  return *flight.state_.position;
}

std::shared_ptr<Flight> Flights::Start(std::shared_ptr<MemoCache> cache, const CacheCall& call,
                                       bool counted) {
  std::shared_ptr<Flight> flight(new Flight(std::move(cache), call, counted));
  Flight::State& state = flight->state_;
  const bool bypass = call.control == Control::kBypass;
  AddWaiter(*flight,
            {call.waiter, bypass ? CacheStatus::kBypass : CacheStatus::kMiss, call.session});
  state.position = running_.insert(running_.end(), flight);
  state.running = true;
  const bool refresh = call.control == Control::kRefresh;
  if (!counted || !call.method.policy.stores() || !(refresh || call.control == Control::kNone)) {
    return flight;
  }
  const auto it = joinable_.find(call.key);
  if (it != joinable_.end()) {
    if (!refresh) return flight;
    MakeSolo(*it->second);  // it keeps its waiters and stores nothing
  }
  joinable_.emplace(flight->key(), flight.get());
  state.joinable = true;
  return flight;
}

// The computation

bool Flights::Begin(Flight& flight, Time now) {
  if (!flight.state_.running) return false;
  flight.state_.begun_at = now;
  return true;
}

double Flights::EndComputing(Flight& flight, Time now, absl::AnyInvocable<void()>& untold) {
  Flight::State& state = flight.state_;
  if (state.on_cancel) untold = std::exchange(state.on_cancel, nullptr);
  const double seconds = state.begun_at ? ToSeconds(now - *state.begun_at) : 0;
  state.begun_at = std::nullopt;
  return seconds;
}

bool Flights::OnCancel(Flight& flight, absl::AnyInvocable<void()>& f) {
  if (!flight.state_.running) return flight.cancelled_.load(std::memory_order_relaxed);
  std::swap(flight.state_.on_cancel, f);
  return false;
}

// Ending

Flights::Waiters Flights::End(Flight& flight) {
  MakeSolo(flight);
  Flight::State& state = flight.state_;
  state.running = false;
  running_.erase(state.position);
  Waiters waiters;
  waiters.swap(state.waiters);
  CountWaiters(-static_cast<int64_t>(waiters.size()));
  return waiters;
}

Flights::Cancelled Flights::Cancel(Flight& flight) {
  Cancelled cancelled;
  cancelled.flight = *flight.state_.position;
  cancelled.waiters = End(flight);
  flight.cancelled_.store(true, std::memory_order_release);
  // What has not begun never will, but may be queued for long yet: it need not keep its instance.
  if (!flight.state_.begun_at) cancelled.unused = std::move(flight.self_);
  cancelled.tell_computation = std::exchange(flight.state_.on_cancel, nullptr);
  return cancelled;
}

bool Flights::Leave(Flight& flight, const Waiter* waiter, Cancelled& cancelled) {
  Waiters& waiters = flight.state_.waiters;
  const auto it = std::find_if(waiters.begin(), waiters.end(),
                               [&](const auto& waiting) { return waiting.waiter == waiter; });
  if (it == waiters.end()) return false;
  waiters.erase(it);
  CountWaiters(-1);
  if (waiters.empty()) cancelled = Cancel(flight);
  return true;
}

Flights::Waiters Flights::LeaveAll(const Session* session, std::vector<Cancelled>& cancelled) {
  Waiters left;
  for (auto next = running_.begin(); next != running_.end();) {
    Flight& flight = **next++;
    Waiters& waiters = flight.state_.waiters;
    const auto theirs = std::stable_partition(waiters.begin(), waiters.end(), [&](const auto& w) {
      return session != nullptr && w.session != session;
    });
    CountWaiters(theirs - waiters.end());
    left.insert(left.end(), theirs, waiters.end());
    waiters.erase(theirs, waiters.end());
    if (waiters.empty()) cancelled.push_back(Cancel(flight));
  }
  return left;
}

void Flights::MakeSolo(const CacheKey& key) {
  if (const auto it = joinable_.find(key); it != joinable_.end()) MakeSolo(*it->second);
}

void Flights::MakeSolo(const MemoizedMethod* method) {
  for (const auto& flight : running_) {
    if (method == nullptr || &flight->method_ == method) MakeSolo(*flight);
  }
}

void Flights::MakeSolo(Flight& flight) {
  if (!std::exchange(flight.state_.joinable, false)) return;
  joinable_.erase(flight.key());
}

void Flights::AddWaiter(Flight& flight, const Flight::Waiting& waiting) {
  flight.state_.waiters.push_back(waiting);
  CountWaiters(1);
}

void Flights::CountWaiters(int64_t change) {
  context_.waiters.fetch_add(change, std::memory_order_relaxed);
}

}  // namespace memod
