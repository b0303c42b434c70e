#include "memod/tests/cache/model.h"

#include <algorithm>
#include <iterator>

#include "memod/tests/cache/fixture.h"

namespace memod {

Model::Model(std::optional<int64_t> max_bytes, int max_depth, std::vector<Policy> methods)
    : max_bytes_(max_bytes),
      max_depth_(max_depth),
      methods_(std::move(methods)),
      shared_(NewCache()),
      history_(methods_.size()),
      baselines_(methods_.size()) {}

Model::CachePtr Model::NewCache() const {
  const auto cache = std::make_shared<Cache>();
  cache->counters.resize(methods_.size());
  cache->baselines.resize(methods_.size());
  return cache;
}

// Sessions

Receipt Model::Close(Session& session) {
  const Receipt receipt = Detach(*session.cache);
  Abort(*session.cache);
  for (const CachePtr& former : session.former) Abort(*former);
  session = {nullptr, {}};
  return receipt;
}

Receipt Model::Update(Session& session) {
  const Receipt receipt = Detach(*session.cache);
  session.former.push_back(session.cache);
  session.cache = NewCache();
  return receipt;
}

Receipt Model::Detach(Cache& cache) {
  cache.detached = true;
  for (const FlightPtr& flight : cache.running) flight->joinable = false;
  for (size_t m = 0; m < methods_.size(); ++m) history_[m] += cache.counters[m];
  return Drop([&](const Entry& e) { return e.cache == &cache; });
}

void Model::Abort(Cache& cache) {
  cache.aborted = "SESSION_CLOSED";
  while (!cache.running.empty()) {
    const FlightPtr flight = cache.running.front();
    flight->cancelled = true;
    End(*flight, cache.aborted);
  }
}

Receipt Model::Clear(const std::vector<Session*>& open, Session* session,
                     std::optional<int> method) {
  std::vector<CachePtr> caches;
  if (session == nullptr) caches.push_back(shared_);
  for (const Session* s : open) {
    if (session == nullptr || s == session) caches.push_back(s->cache);
  }
  Receipt receipt;
  for (int m = 0; m < static_cast<int>(methods_.size()); ++m) {
    if (method && m != *method) continue;
    if (session == nullptr) baselines_[m] = history_[m];
    for (const CachePtr& cache : caches) {
      receipt += Drop([&](const Entry& e) { return e.cache == cache.get() && e.method == m; });
      cache->baselines[m] = cache->counters[m];
      if (session == nullptr) baselines_[m] += cache->counters[m];
      for (const FlightPtr& flight : cache->running) {
        if (flight->method == m) flight->joinable = false;
      }
    }
  }
  return receipt;
}

// Calls

Model::FlightPtr Model::Start(const Call& call) {
  Cache& cache = *call.cache;
  if (cache.detached && call.parent == nullptr) {
    log_.emplace_back(call.caller, "detached");
    return nullptr;
  }
  if (!cache.detached && Found(call)) return nullptr;
  if (const std::string error = Refused(call); !error.empty()) {
    Hear(call.caller, CacheStatus::kMiss, error);
    return nullptr;
  }
  const Policy& policy = methods_[call.method];
  FlightPtr up;  // that computes the same, and will store it
  for (const FlightPtr& f : cache.running) {
    if (f->joinable && f->method == call.method && f->key == call.key) up = f;
  }
  const bool may_join = call.control == Control::kNone && call.parent == nullptr && policy.coalesce;
  if (up != nullptr && may_join && !up->cancelled) {
    ++cache.counters[call.method].coalesced;
    up->waiters.emplace_back(call.caller, CacheStatus::kCoalesced);
    return nullptr;
  }
  const bool replaces = call.control == Control::kRefresh || may_join;
  const bool stores = (call.control == Control::kNone || call.control == Control::kRefresh) &&
                      policy.max_entries.value_or(1) > 0 &&
                      policy.max_entries_total.value_or(1) > 0;
  const bool joinable = !cache.detached && stores && (up == nullptr || replaces);
  if (joinable && up != nullptr) up->joinable = false;
  const auto flight = std::make_shared<Flight>(
      Flight{call.cache, call.method, call.key, call.parent,
             !cache.detached && call.control != Control::kBypass, joinable});
  const bool bypass = call.control == Control::kBypass;
  flight->waiters.emplace_back(call.caller, bypass ? CacheStatus::kBypass : CacheStatus::kMiss);
  cache.running.push_back(flight);
  return flight;
}

// Whether the lookup answered the call.
bool Model::Found(const Call& call) {
  if (call.control == Control::kBypass || call.control == Control::kRefresh) return false;
  Counters& counters = call.cache->counters[call.method];
  const auto it = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) {
    return e.cache == call.cache.get() && e.method == call.method && e.key == call.key;
  });
  if (it != entries_.end() && !Expired(*it, call.now)) {
    ++counters.hits;
    counters.compute_seconds_saved += it->took;
    Hear(call.caller, CacheStatus::kHit, it->answer);
    entries_.splice(entries_.end(), entries_, it);
    return true;
  }
  if (it != entries_.end()) {
    ++counters.expirations;
    entries_.erase(it);
  }
  ++counters.misses;
  if (call.control != Control::kOnlyIfCached) return false;
  Hear(call.caller, CacheStatus::kMiss, "NOT_CACHED");
  return true;
}

std::string Model::Refused(const Call& call) const {
  if (call.cache->detached && !call.cache->aborted.empty()) return call.cache->aborted;
  int depth = 1;
  for (FlightPtr f = call.parent; f != nullptr; f = f->parent, ++depth) {
    if (f->cache == call.cache && f->method == call.method && f->key == call.key) {
      return "RECURSION";
    }
  }
  return depth > max_depth_ ? "LIMIT" : "";
}

bool Model::Begin(Flight& flight, Time now) {
  if (!flight.running) return false;
  flight.begun = now;
  if (flight.counted && !flight.cache->detached) {
    ++flight.cache->counters[flight.method].computations;
  }
  return true;
}

void Model::Complete(FlightPtr flight, std::string answer, Time now) {
  if (!flight->running) return;
  if (flight->joinable) Store(*flight, answer, now);
  End(*flight, answer);
}

void Model::Fail(FlightPtr flight, const std::string& error) {
  if (!flight->running) return;
  if (!Cancelled(*flight)) CountError(*flight);
  End(*flight, error);
}

void Model::Abandon(FlightPtr flight, const std::string& error) {
  if (!flight->running) return;
  flight->cancelled = true;
  CountError(*flight);
  End(*flight, error);
}

void Model::CountError(Flight& flight) {
  if (flight.counted && !flight.cache->detached) ++flight.cache->counters[flight.method].errors;
}

void Model::Leave(FlightPtr flight, int caller) {
  std::erase_if(flight->waiters, [&](const auto& waiter) { return waiter.first == caller; });
  if (!flight->waiters.empty()) return;
  flight->cancelled = true;
  End(*flight, "");
}

bool Model::Cancelled(Flight& flight) {
  // One waiter of a nested flight is the call that it runs within.
  if (flight.parent != nullptr && flight.running && flight.waiters.size() == 1 &&
      Cancelled(*flight.parent)) {
    flight.cancelled = true;
  }
  return flight.cancelled;
}

void Model::End(Flight& flight, const std::string& heard) {
  flight.running = flight.joinable = false;
  for (const auto& [caller, status] : flight.waiters) Hear(caller, status, heard);
  flight.waiters.clear();
  flight.cache->running.remove_if([&](const FlightPtr& f) { return f.get() == &flight; });
}

void Model::Hear(int caller, CacheStatus status, const std::string& what) {
  log_.emplace_back(caller, Told({Answer::Copy(what), status}));
}

// Entries

bool Model::Expired(const Entry& entry, Time now) const {
  const auto& ttl = methods_[entry.method].ttl;
  return ttl && now >= entry.computed_at + *ttl;
}

void Model::Store(const Flight& flight, std::string answer, Time now) {
  const Policy& policy = methods_[flight.method];
  Counters& counters = flight.cache->counters[flight.method];
  const int64_t charge = ChargeOf(flight.key, answer);
  if (static_cast<int64_t>(answer.size()) > policy.max_entry_bytes ||
      (max_bytes_ && charge > *max_bytes_)) {
    ++counters.too_large;
    return;
  }
  const auto mine = [&](const Entry& e) {
    return e.cache == flight.cache.get() && e.method == flight.method;
  };
  Drop([&](const Entry& e) { return mine(e) && e.key == flight.key; });
  entries_.push_back({flight.cache.get(), flight.method, flight.key, std::move(answer), now,
                      ToSeconds(now - flight.begun), charge});
  EvictUntil(
      [&] {
        return !policy.max_entries ||
               std::count_if(entries_.begin(), entries_.end(), mine) <= *policy.max_entries;
      },
      mine, now);
  EvictUntil([&] { return !max_bytes_ || bytes() <= *max_bytes_; },
             [](const Entry&) { return true; }, now);
  EvictUntil(
      [&] {
        return !policy.max_entries_total || entries(flight.method) <= *policy.max_entries_total;
      },
      [&](const Entry& e) { return e.method == flight.method; }, now);
}

void Model::EvictUntil(const std::function<bool()>& holds, const Which& which, Time now) {
  while (!holds()) {
    const auto it = std::find_if(entries_.begin(), entries_.end(), which);
    Counters& counters = it->cache->counters[it->method];
    ++(Expired(*it, now) ? counters.expirations : counters.evictions);
    entries_.erase(it);
  }
}

Receipt Model::Drop(const Which& which) {
  Receipt receipt;
  entries_.remove_if([&](const Entry& e) {
    if (!which(e)) return false;
    receipt += {1, e.charge, e.took};
    return true;
  });
  return receipt;
}

// Reading

CacheInfo Model::Info(const Cache& cache, int method) const {
  CacheInfo info;
  info.counters = cache.counters[method] - cache.baselines[method];
  info.maxsize = methods_[method].max_entries;
  if (info.maxsize) info.maxsize = std::max<int64_t>(0, *info.maxsize);
  for (const Entry& e : entries_) {
    if (e.cache != &cache || e.method != method) continue;
    ++info.currsize;
    info.bytes += e.charge;
  }
  return info;
}

CacheInfo Model::Total(const std::vector<Session*>& open, int method) const {
  CacheInfo info;
  info.counters = history_[method] - baselines_[method];
  info.counters += shared_->counters[method];
  for (const Session* s : open) info.counters += s->cache->counters[method];
  const Policy& policy = methods_[method];
  info.maxsize = policy.scope == Scope::kServer ? policy.max_entries : policy.max_entries_total;
  if (info.maxsize) info.maxsize = std::max<int64_t>(0, *info.maxsize);
  for (const Entry& e : entries_) {
    if (e.method != method) continue;
    ++info.currsize;
    info.bytes += e.charge;
  }
  return info;
}

int64_t Model::bytes() const {
  int64_t sum = 0;
  for (const Entry& e : entries_) sum += e.charge;
  return sum;
}

int64_t Model::entries(int method) const {
  return std::count_if(entries_.begin(), entries_.end(),
                       [&](const Entry& e) { return e.method == method; });
}

}  // namespace memod
