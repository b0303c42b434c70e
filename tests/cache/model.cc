#include "memod/tests/cache/model.h"

#include <algorithm>
#include <iterator>

#include "memod/tests/cache/fixture.h"

namespace memod {

Model::Model(std::optional<int64_t> max_bytes, int64_t guaranteed_bytes, int max_depth,
             std::vector<Policy> methods)
    : max_bytes_(max_bytes),
      guaranteed_bytes_(guaranteed_bytes),
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

Model::CachePtr Model::Enter(std::optional<std::string> state) {
  for (const CachePtr& cache : caches_) {
    if (!state || cache->state != state) continue;
    ++cache->sessions;
    return cache;
  }
  caches_.push_back(NewCache());
  caches_.back()->state = std::move(state);
  caches_.back()->sessions = 1;
  return caches_.back();
}

Receipt Model::LeaveCache(const CachePtr& cache) {
  if (--cache->sessions > 0) return {};
  cache->detached = true;
  std::erase(caches_, cache);
  for (const FlightPtr& flight : cache->running) flight->joinable = false;
  for (size_t m = 0; m < methods_.size(); ++m) history_[m] += cache->counters[m];
  return Drop([&](const Entry& e) { return e.cache == cache.get(); });
}

Model::Session Model::Open(std::optional<std::string> state) {
  ++open_;
  return {opened_++, Enter(std::move(state)), {}};
}

Receipt Model::Close(Session& session) {
  --open_;
  const Receipt receipt = LeaveCache(session.cache);
  Abort(*session.cache, session.id);
  for (const CachePtr& former : session.former) Abort(*former, session.id);
  return receipt;
}

Receipt Model::Update(Session& session, std::optional<std::string> state) {
  const CachePtr former = session.cache;
  session.cache = Enter(std::move(state));
  session.former.push_back(former);
  return LeaveCache(former);
}

void Model::Abort(Cache& cache, int session) {
  const auto running = cache.running;
  for (const FlightPtr& flight : running) {
    const auto waiters = flight->waiters;
    for (const auto& waiter : waiters) {
      if (waiter.session != session) continue;
      Hear(waiter.caller, waiter.status, "SESSION_CLOSED");
      Leave(flight, waiter.caller);
    }
  }
}

Receipt Model::Clear(Session* session, std::optional<int> method) {
  std::vector<CachePtr> caches = caches_;
  caches.push_back(shared_);
  if (session != nullptr) caches = {session->cache};
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

Receipt Model::Forget(const CachePtr& cache, int method, const std::string& key) {
  for (const FlightPtr& f : cache->running) {
    if (f->method == method && f->key == key) f->joinable = false;
  }
  return Drop(
      [&](const Entry& e) { return e.cache == cache.get() && e.method == method && e.key == key; });
}

// Calls

Model::FlightPtr Model::Start(const Call& call) {
  Cache& cache = *call.cache;
  if (call.parent != nullptr && Cancelled(*call.parent)) {
    Hear(call.caller, CacheStatus::kMiss, "CANCELLED");
    return nullptr;
  }
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
  // Nobody from outside has to do with a chain that is not his.
  if (up != nullptr && may_join && up->parent == nullptr) {
    ++cache.counters[call.method].coalesced;
    up->waiters.push_back({call.caller, CacheStatus::kCoalesced, call.session});
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
  flight->waiters.push_back(
      {call.caller, bypass ? CacheStatus::kBypass : CacheStatus::kMiss, call.session});
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
    Hear(call.caller, CacheStatus::kHit, it->heard);
    entries_.splice(entries_.end(), entries_, it);
    return true;
  }
  if (it != entries_.end() && GivenStale(*it, call.now)) {
    entries_.splice(entries_.end(), entries_, it);
  } else if (it != entries_.end()) {
    ++counters.expirations;
    entries_.erase(it);
  }
  ++counters.misses;
  if (call.control != Control::kOnlyIfCached) return false;
  Hear(call.caller, CacheStatus::kMiss, "NOT_CACHED");
  return true;
}

std::string Model::Refused(const Call& call) const {
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
  if (Counters* counters = Counting(flight)) ++counters->computations;
  return true;
}

Counters* Model::Counting(const Flight& flight) const {
  const bool counting = flight.counted && !flight.cache->detached;
  return counting ? &flight.cache->counters[flight.method] : nullptr;
}

void Model::Complete(FlightPtr flight, std::string answer, Time now) {
  const double took = flight->begun ? ToSeconds(now - *flight->begun) : 0;
  if (Counters* counters = Counting(*flight)) counters->compute_seconds += took;
  if (!flight->running) return;
  if (flight->joinable && !Cancelled(*flight)) {
    Store(*flight, *Answer::Copy(CacheKey(0, flight->key), answer), answer, took, now);
  }
  End(*flight, answer);
}

void Model::Fail(FlightPtr flight, absl::StatusCode code, Time now) {
  const double took = flight->begun ? ToSeconds(now - *flight->begun) : 0;
  Counters* counters = Counting(*flight);
  if (counters != nullptr) counters->compute_seconds += took;
  if (!flight->running) return;
  if (counters != nullptr && !Cancelled(*flight)) ++counters->errors;
  const std::string heard = absl::StatusCodeToString(code);
  if (flight->joinable && flight->parent == nullptr && !Cancelled(*flight) &&
      methods_[flight->method].negative.contains(code)) {
    Store(*flight, *Answer::OfError(CacheKey(0, flight->key), absl::Status(code, "")), heard, took,
          now);
  }
  if (code == absl::StatusCode::kUnavailable && flight->counted && !flight->cache->detached) {
    if (const auto stale = Stale(*flight, now)) {
      for (auto& waiter : flight->waiters) waiter.status = CacheStatus::kStale;
      return End(*flight, *stale);
    }
  }
  End(*flight, heard);
}

void Model::Abandon(FlightPtr flight, const std::string& error) {
  if (!flight->running) return;
  flight->cancelled = true;
  if (Counters* counters = Counting(*flight)) ++counters->errors;
  End(*flight, error);
}

void Model::Leave(FlightPtr flight, int caller) {
  std::erase_if(flight->waiters, [&](const auto& waiter) { return waiter.caller == caller; });
  if (!flight->waiters.empty()) return;
  flight->cancelled = true;
  End(*flight, "");
}

bool Model::Cancelled(const Flight& flight) const {
  return flight.cancelled || (flight.parent != nullptr && Cancelled(*flight.parent));
}

void Model::End(Flight& flight, const std::string& heard) {
  flight.running = flight.joinable = false;
  for (const auto& waiter : flight.waiters) Hear(waiter.caller, waiter.status, heard);
  flight.waiters.clear();
  flight.cache->running.remove_if([&](const FlightPtr& f) { return f.get() == &flight; });
}

void Model::Hear(int caller, CacheStatus status, const std::string& what) {
  log_.emplace_back(caller, Told({Answer::Copy(CacheKey(0, ""), what), status}));
}

// Entries

bool Model::Expired(const Entry& entry, Time now) const {
  return entry.ttl && now >= entry.computed_at + *entry.ttl;
}

bool Model::GivenStale(const Entry& entry, Time now) const {
  const auto& stale = methods_[entry.method].stale_if_error;
  return stale && entry.ttl && !entry.is_error && now < entry.computed_at + *entry.ttl + *stale;
}

std::optional<std::string> Model::Stale(const Flight& flight, Time now) const {
  for (const Entry& e : entries_) {
    const bool same = e.cache == flight.cache.get() && e.method == flight.method;
    if (same && e.key == flight.key && GivenStale(e, now)) return e.heard;
  }
  return std::nullopt;
}

bool Model::SameCache(int method, int other) const {
  return method == other ||
         (!methods_[method].cache.empty() && methods_[method].cache == methods_[other].cache);
}

bool Model::IsSpared(const Cache& cache) const {
  if (&cache == shared_.get() || open_ == 0) return false;
  return bytes(cache) <= std::min(guaranteed_bytes_, *max_bytes_ / open_);
}

void Model::Store(const Flight& flight, const Answer& answer, std::string heard, double took,
                  Time now) {
  const Policy& policy = methods_[flight.method];
  Counters& counters = flight.cache->counters[flight.method];
  const int64_t charge = answer.charge();
  if (static_cast<int64_t>(answer.size()) > policy.max_entry_bytes ||
      (max_bytes_ && charge > *max_bytes_)) {
    ++counters.too_large;
    return;
  }
  const auto mine = [&](const Entry& e) {
    return e.cache == flight.cache.get() && SameCache(e.method, flight.method);
  };
  Drop([&](const Entry& e) { return mine(e) && e.method == flight.method && e.key == flight.key; });
  const auto ttl =
      answer.code() == absl::StatusCode::kOk ? policy.ttl : policy.negative.at(answer.code());
  entries_.push_back({flight.cache.get(), flight.method, flight.key, std::move(heard), ttl,
                      answer.code() != absl::StatusCode::kOk, now, took, charge});
  EvictUntil(
      [&] {
        return !policy.max_entries ||
               std::count_if(entries_.begin(), entries_.end(), mine) <= *policy.max_entries;
      },
      mine, now);
  EvictUntil([&] { return !max_bytes_ || bytes() <= *max_bytes_; },
             [&](const Entry& e) { return !IsSpared(*e.cache); }, now);
  EvictUntil(
      [&] {
        return !policy.max_entries_total || entries(flight.method) <= *policy.max_entries_total;
      },
      [&](const Entry& e) { return SameCache(e.method, flight.method); }, now);
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

CacheInfo Model::Total(int method) const {
  CacheInfo info;
  info.counters = history_[method] - baselines_[method];
  info.counters += shared_->counters[method];
  for (const CachePtr& cache : caches_) info.counters += cache->counters[method];
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

int64_t Model::bytes(const Cache& cache) const {
  int64_t sum = 0;
  for (const Entry& e : entries_) sum += e.cache == &cache ? e.charge : 0;
  return sum;
}

int64_t Model::entries(int method) const {
  return std::count_if(entries_.begin(), entries_.end(),
                       [&](const Entry& e) { return SameCache(e.method, method); });
}

}  // namespace memod
