// The rules that hold here:
//  1. A computation stores its answer only if flights_ still holds that very flight under its key.
//     Clear and Detach take flights out, a refresh puts a new one in place. bypass, no-store,
//     methods that store nothing, and a second equal call that may not join are solo: in running_,
//     never in flights_. So nothing begun before a clear or a change is ever seen after it.
//  2. Nothing foreign runs under mutex_. What is removed is kept in a local declared before the
//     lock, and so is freed after it; waiters are told after it.
//  3. Everybody in running_ has a waiter. A flight leaves running_ once, and whoever takes it out
//     tells its waiters: Complete, Abandon, Abort, or Leave of the last one.
//  4. Whoever calls into a flight holds a reference, so that none is destroyed under mutex_.
#include "memod/cache/memo_cache.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memod/cache/memo_error.h"

namespace memod {
namespace {

// Added to a time of now it does not overflow.
constexpr Duration kLongest = std::chrono::hours(24 * 3650);

Policy Normalized(Policy policy) {
  if (policy.max_entries) policy.max_entries = std::max<int64_t>(0, *policy.max_entries);
  if (policy.max_entries_total) {
    policy.max_entries_total = std::max<int64_t>(0, *policy.max_entries_total);
  }
  if (policy.ttl) policy.ttl = std::min(*policy.ttl, kLongest);
  policy.compute_timeout = std::min(policy.compute_timeout, kLongest);
  return policy;
}

bool Expired(const LruCache::Entry& entry, const Policy& policy, Time now) {
  return policy.ttl && now - entry.value.computed_at >= *policy.ttl;
}

bool IsLookup(Control control) {
  return control == Control::kNone || control == Control::kNoStore ||
         control == Control::kOnlyIfCached;
}

}  // namespace

MemoizedMethod::MemoizedMethod(uint32_t id, std::string name, const Policy& policy)
    : id(id),
      name(std::move(name)),
      policy(Normalized(policy)),
      total_entries(this->policy.max_entries_total) {}

// One method's entries and counters; all of it guarded by the owner's mutex.
struct MemoCache::MethodCache final : Budget::Member {
  MethodCache(MemoCache& owner, const MemoizedMethod& method)
      : owner(owner), method(method), lru(method.policy.max_entries) {}

  std::optional<Time> EvictOldest(const Budget& budget, Time not_after, Time now,
                                  std::vector<LruCache::EntryPtr>& removed) override {
    MutexLock lock(owner.mutex_);
    if (lru.oldest() != nullptr && lru.oldest()->last_used() <= not_after) {
      CountDropped(*lru.oldest(), now);
      removed.push_back(lru.Remove(lru.oldest()));
      GiveBack({1, removed.back()->charge(), 0});
    }
    if (lru.oldest() != nullptr) return lru.oldest()->last_used();
    (&budget == &method.total_entries ? in_total : in_bytes) = false;
    return std::nullopt;
  }

  void GiveBack(const Receipt& receipt) {
    owner.context_.bytes.Charge(-receipt.bytes);
    owner.context_.entries.fetch_sub(receipt.entries, std::memory_order_relaxed);
    method.total_entries.Charge(-receipt.entries);
  }

  void CountDropped(const LruCache::Entry& entry, Time now) {
    ++(Expired(entry, method.policy, now) ? counters.expirations : counters.evictions);
  }

  CacheInfo InfoSince(const Counters& since) const {
    return {counters - since, lru.max_entries(), lru.held().entries, lru.held().bytes};
  }

  MemoCache& owner;
  const MemoizedMethod& method;
  LruCache lru;
  Counters counters;
  Counters baseline;  // the counters when this was last cleared
  // Whether it is, or is about to be, a member of the budget.
  bool in_bytes = false;
  bool in_total = false;
};

std::shared_ptr<MemoCache> MemoCache::Make(CacheContext& context, int max_depth) {
  return std::shared_ptr<MemoCache>(new MemoCache(context, max_depth));
}

MemoCache::MemoCache(CacheContext& context, int max_depth)
    : context_(context), max_depth_(max_depth) {}

MemoCache::~MemoCache() { Detach(); }

MemoCache::Result MemoCache::GetOrCompute(
    const Call& call, absl::FunctionRef<void(std::shared_ptr<Flight>)> compute) {
  std::vector<LruCache::EntryPtr> removed;
  std::shared_ptr<Flight> flight;
  {
    MutexLock lock(mutex_);
    if (detached_) {
      if (call.parent == nullptr) return Detached{};
      if (aborted_ != nullptr) return Outcome{aborted_()};
      if (absl::Status status = CheckChain(call); !status.ok()) return Outcome{std::move(status)};
      flight = Start(call, /*joinable=*/false, /*counted=*/false);
    } else {
      MethodCache& cache = For(call.method);
      if (auto outcome = Lookup(cache, call, removed)) return *std::move(outcome);
      if (absl::Status status = CheckChain(call); !status.ok()) return Outcome{std::move(status)};
      if (auto joined = Join(cache, call)) return joined;
      const bool stores = call.method.policy.stores() &&
                          (call.control == Control::kNone || call.control == Control::kRefresh);
      const bool taken = call.control == Control::kNone && flights_.contains(call.key);
      flight = Start(call, /*joinable=*/stores && !taken,
                     /*counted=*/call.control != Control::kBypass);
    }
  }
  compute(flight);
  return flight;
}

// A hit, or the miss of a call that computes nothing. Counts the lookup, if it is one.
std::optional<Outcome> MemoCache::Lookup(MethodCache& cache, const Call& call,
                                         std::vector<LruCache::EntryPtr>& removed) {
  if (!IsLookup(call.control)) return std::nullopt;
  if (const LruCache::Entry* entry = cache.lru.Lookup(call.key, call.now)) {
    if (!Expired(*entry, call.method.policy, call.now)) {
      ++cache.counters.hits;
      cache.counters.compute_seconds_saved += entry->value.compute_seconds;
      // Not below zero, should the answer be younger than the caller's look at the clock.
      const Duration age = std::max(Duration::zero(), call.now - entry->value.computed_at);
      return Outcome{entry->value.answer, CacheStatus::kHit, age};
    }
    ++cache.counters.expirations;
    removed.push_back(cache.lru.Remove(entry));
    cache.GiveBack({1, removed.back()->charge(), 0});
  }
  ++cache.counters.misses;
  if (call.control != Control::kOnlyIfCached) return std::nullopt;
  return Outcome{MemoError(absl::StatusCode::kFailedPrecondition, memo_error::kNotCached,
                           absl::StrCat(call.method.name,
                                        ": no answer is remembered, and "
                                        "memo-control is only-if-cached"))};
}

std::shared_ptr<Flight> MemoCache::Join(MethodCache& cache, const Call& call) {
  if (call.control != Control::kNone || call.parent != nullptr || !call.method.policy.coalesce) {
    return nullptr;
  }
  const auto it = flights_.find(call.key);
  if (it == flights_.end()) return nullptr;
  Flight& flight = *it->second;
  int waiting = flight.waiting_.load();
  while (waiting > 0 && !flight.waiting_.compare_exchange_weak(waiting, waiting + 1)) {
  }
  if (waiting == 0) {  // it is being cancelled with its parent: another one takes its place
    MakeSolo(flight);
    return nullptr;
  }
  ++cache.counters.coalesced;
  StateOf(flight).waiters.push_back({call.waiter, CacheStatus::kCoalesced});
  return *StateOf(flight).position;
}

absl::Status MemoCache::CheckChain(const Call& call) const {
  if (call.parent == nullptr) return absl::OkStatus();
  for (const Flight* f = call.parent; f != nullptr; f = f->parent()) {
    if (f->cache_.get() == this && f->key() == call.key) {
      return MemoError(absl::StatusCode::kFailedPrecondition, memo_error::kRecursion,
                       absl::StrCat(call.method.name, ": the call needs its own answer"));
    }
  }
  if (call.parent->depth() < max_depth_) return absl::OkStatus();
  return MemoError(absl::StatusCode::kResourceExhausted, memo_error::kLimit,
                   absl::StrCat(call.method.name, ": nested calls ", call.parent->depth() + 1,
                                " deep, limit ", max_depth_, " (compute.max_depth)"));
}

std::shared_ptr<Flight> MemoCache::Start(const Call& call, bool joinable, bool counted) {
  std::shared_ptr<Flight> flight(new Flight(shared_from_this(), call.method, call.key,
                                            call.instance, call.parent, counted, call.now));
  Flight::State& state = StateOf(*flight);
  state.waiters.push_back(
      {call.waiter, call.control == Control::kBypass ? CacheStatus::kBypass : CacheStatus::kMiss});
  flight->waiting_.store(1, std::memory_order_release);
  state.position = running_.insert(running_.end(), flight);
  state.running = true;
  if (joinable) {
    // Of a refresh: the one that is up keeps its waiters and stores nothing.
    if (const auto it = flights_.find(call.key); it != flights_.end()) MakeSolo(*it->second);
    flights_.emplace(flight->key(), flight.get());
    state.joinable = true;
  }
  return flight;
}

bool MemoCache::Begin(Flight& flight, Time now) {
  MutexLock lock(mutex_);
  Flight::State& state = StateOf(flight);
  if (!state.running) return false;
  state.begun = true;
  state.begun_at = now;
  if (flight.counted_ && !detached_) ++For(flight.method_).counters.computations;
  return true;
}

void MemoCache::Complete(Flight& flight, absl::StatusOr<Answer::Ref> answer, Time now) {
  std::vector<LruCache::EntryPtr> removed;
  Flight::Waiters waiters;
  MethodCache* entering = nullptr;
  {
    MutexLock lock(mutex_);
    if (!StateOf(flight).running) return;  // nobody waits: a late answer is discarded
    if (!answer.ok()) {
      // A nested computation that was given up together with its parent has not failed.
      if (!flight.cancelled()) CountError(flight);
    } else if (StateOf(flight).joinable) {
      MethodCache& cache = For(flight.method_);
      if (Store(cache, flight, *answer, now, removed)) entering = &cache;
    }
    waiters = End(flight);
  }
  if (entering != nullptr) {
    // A second Enter is a no-op; whichever comes after a Detach finds the cache empty.
    context_.bytes.Enter(entering);
    entering->method.total_entries.Enter(entering);
  }
  // Before the waiters are told: whoever has the answer sees the bounds hold.
  context_.bytes.Enforce(now);
  flight.method_.total_entries.Enforce(now);
  for (const auto& [waiter, status] : waiters) waiter->OnAnswer({answer, status});
}

// True if the cache has to enter its budgets.
bool MemoCache::Store(MethodCache& cache, const Flight& flight, const Answer::Ref& answer, Time now,
                      std::vector<LruCache::EntryPtr>& removed) {
  const Policy& policy = flight.method_.policy;
  const int64_t charge = LruCache::Charge(flight.key(), *answer);
  if (static_cast<int64_t>(answer->bytes().size()) > policy.max_entry_bytes ||
      charge > context_.bytes.limit().value_or(charge)) {
    ++cache.counters.too_large;
    return false;
  }
  const float took = static_cast<float>(ToSeconds(now - flight.state_.begun_at));
  const size_t evicted =
      static_cast<size_t>(cache.lru.Insert(flight.key(), {answer, now, took}, now, removed));
  context_.bytes.Charge(charge);
  context_.entries.fetch_add(1, std::memory_order_relaxed);
  cache.method.total_entries.Charge(1);
  for (const auto& entry : removed) cache.GiveBack({1, entry->charge(), 0});
  for (auto it = removed.end() - static_cast<ptrdiff_t>(evicted); it != removed.end(); ++it) {
    cache.CountDropped(**it, now);
  }
  const bool enters = !cache.in_bytes || !cache.in_total;
  cache.in_bytes = cache.in_total = true;
  return enters;
}

void MemoCache::Abandon(Flight& flight, const absl::Status& error) {
  Flight::Waiters waiters;
  std::shared_ptr<const void> unused;  // let go after the lock
  {
    MutexLock lock(mutex_);
    if (!StateOf(flight).running) return;
    CountError(flight);
    waiters = End(flight);
    unused = Cancel(flight);
  }
  for (const auto& [waiter, status] : waiters) waiter->OnAnswer({error, status});
}

bool MemoCache::Leave(Flight& flight, Waiter* waiter) {
  std::shared_ptr<const void> unused;  // let go after the lock
  MutexLock lock(mutex_);
  Flight::State& state = StateOf(flight);
  const auto it = std::find_if(state.waiters.begin(), state.waiters.end(),
                               [&](const auto& waiting) { return waiting.waiter == waiter; });
  if (it == state.waiters.end()) return false;
  state.waiters.erase(it);
  flight.waiting_.fetch_sub(1, std::memory_order_release);
  if (state.waiters.empty()) {
    End(flight);
    unused = Cancel(flight);
  }
  return true;
}

std::shared_ptr<const void> MemoCache::Cancel(Flight& flight) {
  flight.cancelled_.store(true, std::memory_order_release);
  // What has not begun never will, but may be queued for long yet: it need not keep its instance.
  return StateOf(flight).begun ? nullptr : std::move(flight.instance_);
}

void MemoCache::CountError(const Flight& flight) {
  if (flight.counted_ && !detached_) ++For(flight.method_).counters.errors;
}

void MemoCache::MakeSolo(Flight& flight) {
  if (!std::exchange(StateOf(flight).joinable, false)) return;
  flights_.erase(flight.key());
}

Flight::Waiters MemoCache::End(Flight& flight) {
  MakeSolo(flight);
  Flight::State& state = StateOf(flight);
  state.running = false;
  running_.erase(state.position);
  Flight::Waiters waiters;
  waiters.swap(state.waiters);
  return waiters;
}

CacheInfo MemoCache::Info(const MemoizedMethod& method) const {
  MutexLock lock(mutex_);
  const MethodCache* cache = Find(method);
  return cache == nullptr ? CacheInfo{.counters = {}, .maxsize = method.policy.max_entries}
                          : cache->InfoSince(cache->baseline);
}

CacheInfo MemoCache::History(const MemoizedMethod& method) const {
  MutexLock lock(mutex_);
  const MethodCache* cache = Find(method);
  return cache == nullptr ? CacheInfo{.counters = {}, .maxsize = method.policy.max_entries}
                          : cache->InfoSince(Counters{});
}

MemoCache::Released MemoCache::Clear(const MemoizedMethod* method) {
  Released released;
  std::vector<std::shared_ptr<const void>> garbage;
  {
    MutexLock lock(mutex_);
    for (auto& cache : methods_) {
      if (method != nullptr && &cache->method != method) continue;
      Empty(*cache, released.receipt, garbage);
      cache->baseline = cache->counters;
      released.methods.push_back({&cache->method, cache->counters});
    }
    for (auto& flight : running_) {
      if (method == nullptr || &flight->method_ == method) MakeSolo(*flight);
    }
  }
  for (auto& g : garbage) context_.reaper.Add(std::move(g));
  return released;
}

MemoCache::Released MemoCache::Detach() {
  Released released;
  std::vector<std::shared_ptr<const void>> garbage;
  std::vector<MethodCache*> leaving;
  {
    MutexLock lock(mutex_);
    if (std::exchange(detached_, true)) return released;
    for (auto& cache : methods_) {
      Empty(*cache, released.receipt, garbage);
      released.methods.push_back({&cache->method, cache->counters});
      leaving.push_back(cache.get());
    }
    for (auto& flight : running_) MakeSolo(*flight);
  }
  for (MethodCache* cache : leaving) {
    context_.bytes.Leave(cache);
    cache->method.total_entries.Leave(cache);
  }
  for (auto& g : garbage) context_.reaper.Add(std::move(g));
  return released;
}

void MemoCache::Abort(MakeError error) {
  std::list<std::shared_ptr<Flight>> aborted;  // let go after the lock
  std::vector<Flight::Waiting> waiters;
  std::vector<std::shared_ptr<const void>> unused;
  {
    MutexLock lock(mutex_);
    aborted_ = error;
    aborted.swap(running_);
    for (auto& flight : aborted) {
      Flight::State& state = StateOf(*flight);
      state.running = false;
      waiters.insert(waiters.end(), state.waiters.begin(), state.waiters.end());
      state.waiters.clear();
      unused.push_back(Cancel(*flight));
    }
  }
  for (const auto& [waiter, status] : waiters) waiter->OnAnswer({error(), status});
}

void MemoCache::Empty(MethodCache& cache, Receipt& receipt,
                      std::vector<std::shared_ptr<const void>>& garbage) {
  std::shared_ptr<LruCache::Contents> contents = cache.lru.Clear();
  if (contents == nullptr) return;
  cache.GiveBack(contents->receipt());
  receipt += contents->receipt();
  garbage.push_back(std::move(contents));
}

MemoCache::MethodCache& MemoCache::For(const MemoizedMethod& method) {
  if (MethodCache* cache = Find(method)) return *cache;
  return *methods_.emplace_back(std::make_unique<MethodCache>(*this, method));
}

MemoCache::MethodCache* MemoCache::Find(const MemoizedMethod& method) const {
  for (const auto& cache : methods_) {
    if (&cache->method == &method) return cache.get();
  }
  return nullptr;
}

}  // namespace memod
