#include "memod/cache/method_caches.h"

#include <algorithm>
#include <array>
#include <utility>

namespace memod {
namespace {

Receipt ReceiptOf(const Answer& answer) { return {1, answer.charge(), answer.compute_seconds()}; }

}  // namespace

// Entries

bool MethodCaches::Expired(const MemoizedMethod& method, const Answer& answer, Time now) {
  const Policy& policy = method.policy;
  const absl::StatusCode code = answer.code();
  const auto ttl = code == absl::StatusCode::kOk ? policy.ttl : policy.negative.at(code);
  return ttl && now - answer.computed_at() >= *ttl;
}

namespace {

// Whether an answer, expired or not, may be given where computing fails.
bool GivenStale(const MemoizedMethod& method, const Answer& answer, Time now) {
  const Policy& policy = method.policy;
  return policy.ttl && policy.stale_if_error && answer.code() == absl::StatusCode::kOk &&
         now - answer.computed_at() < *policy.ttl + *policy.stale_if_error;
}

}  // namespace

const Answer* MethodCaches::FindStale(const MemoizedMethod& method, const CacheKey& key,
                                      Time now) const {
  const OfMethod* of = Find(method);
  const Answer* answer = of == nullptr ? nullptr : of->cache.lru.Peek(key);
  return answer != nullptr && GivenStale(method, *answer, now) ? answer : nullptr;
}

const Answer* MethodCaches::Lookup(const MemoizedMethod& method, const CacheKey& key, Time now,
                                   Removed& removed) {
  OfMethod& of = For(method);
  const Answer* answer = of.cache.lru.Lookup(key, now);
  if (answer != nullptr && !Expired(method, *answer, now)) {
    CountHit(of, *answer);
    return answer;
  }
  if (answer != nullptr && !GivenStale(method, *answer, now)) {
    ++of.counters.expirations;
    GiveBack(*answer);
    removed.push_back(of.cache.lru.Remove(answer));
  }
  ++of.counters.misses;
  return nullptr;
}

const Answer* MethodCaches::Peek(const MemoizedMethod& method, const CacheKey& key,
                                 Time now) const {
  const OfMethod* of = Find(method);
  if (of == nullptr) return nullptr;
  const Answer* answer = of->cache.lru.Peek(key);
  return answer != nullptr && Expired(method, *answer, now) ? nullptr : answer;
}

void MethodCaches::Prefetch(std::span<const Sought> sought) const {
  std::array<const LruCache*, kAhead> caches{};
  std::array<const Answer*, kAhead> answers{};
  for (size_t i = 0; i < sought.size(); ++i) {
    const OfMethod* of = Find(*sought[i].method);
    if (of == nullptr) continue;
    caches[i] = &of->cache.lru;
    caches[i]->PrefetchIndex(sought[i].key);
  }
  for (size_t i = 0; i < sought.size(); ++i) {
    if (caches[i] != nullptr) answers[i] = caches[i]->PrefetchAnswer(sought[i].key);
  }
  for (size_t i = 0; i < sought.size(); ++i) LruCache::PrefetchNeighbours(answers[i]);
}

const Answer* MethodCaches::LookupHit(const MemoizedMethod& method, const CacheKey& key, Time now) {
  const Answer* answer = Peek(method, key, now);
  if (answer == nullptr) return nullptr;
  OfMethod& of = For(method);
  of.cache.lru.Touch(answer, now);
  CountHit(of, *answer);
  return answer;
}

void MethodCaches::CountHit(OfMethod& of, const Answer& answer) {
  ++of.counters.hits;
  of.counters.compute_seconds_saved += answer.compute_seconds();
}

bool MethodCaches::Insert(const MemoizedMethod& method, const Answer::Ref& answer, Time now,
                          float compute_seconds, Removed& removed) {
  OfMethod& of = For(method);
  Cache& cache = of.cache;
  const int64_t charge = answer->charge();
  if (static_cast<int64_t>(answer->size()) > method.policy.max_entry_bytes ||
      charge > context_.bytes.limit().value_or(charge) || charge > max_bytes().value_or(charge)) {
    ++of.counters.too_large;
    return false;
  }
  const size_t before = removed.size();
  const auto evicted = static_cast<size_t>(cache.lru.Insert(answer, now, compute_seconds, removed));
  context_.bytes.Charge(charge);
  context_.entries.fetch_add(1, std::memory_order_relaxed);
  cache.bounds.total_entries.Charge(1);
  of.held += {1, charge, compute_seconds};
  bytes_ += charge;
  for (size_t i = before; i < removed.size(); ++i) {
    GiveBack(*removed[i]);
    if (i + evicted >= removed.size()) CountDropped(OwnerOf(*removed[i]), *removed[i], now);
  }
  while (bytes_ > max_bytes().value_or(bytes_)) EvictFrom(*Oldest(), now, removed);
  const bool enters = !in_bytes_ || !cache.in_total;
  in_bytes_ = cache.in_total = true;
  return enters;
}

Receipt MethodCaches::Forget(const MemoizedMethod& method, const CacheKey& key, Removed& removed) {
  const OfMethod* of = Find(method);
  const Answer* answer = of == nullptr ? nullptr : of->cache.lru.Peek(key);
  if (answer == nullptr) return {};
  const Receipt receipt = ReceiptOf(*answer);
  GiveBack(*answer);
  removed.push_back(of->cache.lru.Remove(answer));
  return receipt;
}

Receipt MethodCaches::Clear(const MemoizedMethod* method, Garbage& garbage) {
  Receipt receipt;
  for (OfMethod& of : methods_) {
    if (method != nullptr && &of.method != method) continue;
    receipt += of.held;
    GiveBack(of, Receipt(of.held));
    of.baseline = of.counters;
    if (method == nullptr) continue;
    if (of.cache.methods == 1) {
      garbage.emplace_back(of.cache.lru.Clear());
    } else {
      const auto removed = std::make_shared<Removed>();
      of.cache.lru.RemoveMethod(of.method.id, *removed);
      garbage.push_back(removed);
    }
  }
  if (method != nullptr) return receipt;
  for (auto& cache : caches_) garbage.emplace_back(cache->lru.Clear());
  return receipt;
}

// Budgets

void MethodCaches::EnterBudgets(const MemoizedMethod& method) {
  // A second Enter is a no-op; whichever comes after a Leave finds the cache empty.
  context_.bytes.Enter(this);
  Cache* cache;
  {
    MutexLock lock(mutex_);
    cache = &For(method).cache;
  }
  method.bounds->total_entries.Enter(cache);
}

void MethodCaches::Enforce(const MemoizedMethod& method, Time now) {
  context_.bytes.Enforce(now);
  method.bounds->total_entries.Enforce(now);
}

void MethodCaches::LeaveBudgets() {
  std::vector<Cache*> leaving;
  {
    MutexLock lock(mutex_);
    for (const auto& cache : caches_) leaving.push_back(cache.get());
  }
  context_.bytes.Leave(this);
  for (Cache* cache : leaving) cache->bounds.total_entries.Leave(cache);
}

Budget::Member::Left MethodCaches::EvictOldest(const Budget&, const Eviction& eviction,
                                               Removed& removed) {
  MutexLock lock(mutex_);
  Cache* cache = Oldest();
  const bool spared = cache != nullptr && of_session_ && bytes_ <= eviction.guaranteed;
  if (cache != nullptr && !spared && cache->lru.oldest_use() <= eviction.not_after) {
    EvictFrom(*cache, eviction.now, removed);
    cache = Oldest();
  }
  if (cache == nullptr || spared) in_bytes_ = false;
  if (cache == nullptr) return {};
  return {cache->lru.oldest_use(), bytes_, spared};
}

Budget::Member::Left MethodCaches::Cache::EvictOldest(const Budget&, const Eviction& eviction,
                                                      Removed& removed) {
  MutexLock lock(owner.mutex_);
  if (lru.oldest() != nullptr && lru.oldest_use() <= eviction.not_after) {
    owner.EvictFrom(*this, eviction.now, removed);
  }
  if (lru.oldest() != nullptr) return {.oldest = lru.oldest_use()};
  in_total = false;
  return {};
}

std::optional<int64_t> MethodCaches::max_bytes() const {
  return of_session_ ? context_.limits.max_session_bytes : std::nullopt;
}

MethodCaches::Cache* MethodCaches::Oldest() const {
  Cache* oldest = nullptr;
  for (const auto& cache : caches_) {
    if (cache->lru.oldest() == nullptr) continue;
    if (oldest == nullptr || cache->lru.oldest_use() < oldest->lru.oldest_use()) {
      oldest = cache.get();
    }
  }
  return oldest;
}

void MethodCaches::EvictFrom(Cache& cache, Time now, Removed& removed) {
  const Answer* answer = cache.lru.oldest();
  CountDropped(OwnerOf(*answer), *answer, now);
  GiveBack(*answer);
  removed.push_back(cache.lru.Remove(answer));
}

void MethodCaches::GiveBack(const Answer& answer) { GiveBack(OwnerOf(answer), ReceiptOf(answer)); }

void MethodCaches::GiveBack(OfMethod& of, const Receipt& went) {
  bytes_ -= went.bytes;
  of.held += {-went.entries, -went.bytes, -went.compute_seconds};
  // Sums of floating-point numbers drift; nothing is exactly nothing.
  if (of.held.entries == 0) of.held = {};
  context_.bytes.Charge(-went.bytes);
  context_.entries.fetch_sub(went.entries, std::memory_order_relaxed);
  of.cache.bounds.total_entries.Charge(-went.entries);
}

void MethodCaches::CountDropped(OfMethod& of, const Answer& answer, Time now) {
  ++(Expired(of.method, answer, now) ? of.counters.expirations : of.counters.evictions);
}

// Methods

CacheInfo MethodCaches::InfoSince(const OfMethod& of, const Counters& since) {
  return {of.counters - since, of.method.bounds->max_entries, of.held.entries, of.held.bytes};
}

CacheInfo MethodCaches::InfoOfUnused(const MemoizedMethod& method) {
  return {.counters = {}, .maxsize = method.bounds->max_entries};
}

CacheInfo MethodCaches::Info(const MemoizedMethod& method) const {
  const OfMethod* of = Find(method);
  return of == nullptr ? InfoOfUnused(method) : InfoSince(*of, of->baseline);
}

MethodCaches::OfMethod& MethodCaches::For(const MemoizedMethod& method) {
  if (const OfMethod* of = Find(method)) return const_cast<OfMethod&>(*of);
  Cache* cache = nullptr;
  for (const auto& c : caches_) {
    if (&c->bounds == method.bounds.get()) cache = c.get();
  }
  if (cache == nullptr) {
    cache = caches_.emplace_back(std::make_unique<Cache>(*this, *method.bounds)).get();
  }
  ++cache->methods;
  return methods_.emplace_back(OfMethod{method, *cache, {}, {}, {}});
}

const MethodCaches::OfMethod* MethodCaches::Find(const MemoizedMethod& method) const {
  for (const OfMethod& of : methods_) {
    if (&of.method == &method) return &of;
  }
  return nullptr;
}

MethodCaches::OfMethod& MethodCaches::OwnerOf(const Answer& answer) {
  return *std::find_if(methods_.begin(), methods_.end(),
                       [&](const OfMethod& of) { return of.method.id == answer.method(); });
}

}  // namespace memod
