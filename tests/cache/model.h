// What memod remembers, said as simply as can be: one list of all entries of all caches, the least
// recently used first, and everything found by walking. It knows nothing of threads, memory and
// speed, and shares no code with cache/ but its vocabulary and what an entry is charged.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "memod/cache/cache_info.h"
#include "memod/cache/memo_cache.h"
#include "memod/cache/policy.h"

namespace memod {

class Model {
 public:
  struct Cache;
  using CachePtr = std::shared_ptr<Cache>;
  struct Flight {
    CachePtr cache;
    int method;
    std::string key;
    std::shared_ptr<Flight> parent;
    bool counted;
    bool joinable;
    bool running = true;  // somebody waits
    bool cancelled = false;
    std::optional<Time> begun{};
    struct Waiter {
      int caller;
      CacheStatus status;
      int session;
    };
    std::vector<Waiter> waiters{};
  };
  using FlightPtr = std::shared_ptr<Flight>;
  struct Cache {
    std::optional<std::string> state;  // that sessions on it share; nullopt: it is one session's
    int sessions = 0;
    bool detached = false;
    std::vector<Counters> counters, baselines;  // by method
    std::list<FlightPtr> running;
  };
  struct Session {
    int id;
    CachePtr cache;
    std::vector<CachePtr> former;
  };
  // A caller, and what it heard, in the words of Told().
  using Log = std::vector<std::pair<int, std::string>>;

  Model(std::optional<int64_t> max_bytes, int64_t guaranteed_bytes, int max_depth,
        std::vector<Policy> methods);

  // With a state: shared by all sessions with an equal one.
  Session Open(std::optional<std::string> state);
  Receipt Close(Session& session);
  Receipt Update(Session& session, std::optional<std::string> state);
  // Null: all sessions and what they share; no method: all methods.
  Receipt Clear(Session* session, std::optional<int> method);
  Receipt Forget(const CachePtr& cache, int method, const std::string& key);

  struct Call {
    int caller;
    CachePtr cache;
    int method;
    std::string key;
    Control control;
    Time now;
    FlightPtr parent;
    int session;  // -1: none
  };
  // The flight that the call starts; null if it starts none.
  FlightPtr Start(const Call& call);
  bool Begin(Flight& flight, Time now);
  void Complete(FlightPtr flight, std::string answer, Time now);
  void Fail(FlightPtr flight, absl::StatusCode code, Time now);
  void Abandon(FlightPtr flight, const std::string& error);
  void Leave(FlightPtr flight, int caller);
  bool Cancelled(const Flight& flight) const;

  CacheInfo Info(const Cache& cache, int method) const;
  CacheInfo Total(int method) const;
  int64_t bytes() const;
  int64_t bytes(const Cache& cache) const;
  // Of all methods that share the cache of this one.
  int64_t entries(int method) const;

  const CachePtr& shared() const { return shared_; }
  // What was heard since the last time.
  Log TakeLog() { return std::exchange(log_, {}); }

 private:
  struct Entry {
    Cache* cache;
    int method;
    std::string key;
    std::string heard;
    std::optional<Duration> ttl;
    bool is_error;
    Time computed_at;
    double took;
    int64_t charge;
  };
  using Which = std::function<bool(const Entry&)>;

  CachePtr NewCache() const;
  CachePtr Enter(std::optional<std::string> state);
  Receipt LeaveCache(const CachePtr& cache);
  bool SameCache(int method, int other) const;
  bool IsSpared(const Cache& cache) const;
  Counters* Counting(const Flight& flight) const;
  bool Expired(const Entry& entry, Time now) const;
  bool GivenStale(const Entry& entry, Time now) const;
  std::optional<std::string> Stale(const Flight& flight, Time now) const;
  bool Found(const Call& call);
  std::string Refused(const Call& call) const;
  void Store(const Flight& flight, const Answer& answer, std::string heard, double took, Time now);
  // Evicts the least recently used of those meant until `holds`.
  void EvictUntil(const std::function<bool()>& holds, const Which& which, Time now);
  Receipt Drop(const Which& which);
  void Abort(Cache& cache, int session);
  void End(Flight& flight, const std::string& heard);
  void Hear(int caller, CacheStatus status, const std::string& what);

  const std::optional<int64_t> max_bytes_;
  const int64_t guaranteed_bytes_;
  const int max_depth_;
  const std::vector<Policy> methods_;
  std::list<Entry> entries_;  // the least recently used first
  const CachePtr shared_;
  std::vector<CachePtr> caches_;  // that open sessions are on
  int open_ = 0;
  int opened_ = 0;
  std::vector<Counters> history_, baselines_;  // by method
  Log log_;
};

}  // namespace memod
