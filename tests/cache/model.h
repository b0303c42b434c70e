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
    bool running = true;     // somebody waits
    bool cancelled = false;  // and has been told so, if it is nested
    Time begun{};
    std::vector<std::pair<int, CacheStatus>> waiters{};
  };
  using FlightPtr = std::shared_ptr<Flight>;
  struct Cache {
    bool detached = false;
    std::string aborted;                        // the error that it ends with from now on
    std::vector<Counters> counters, baselines;  // by method
    std::list<FlightPtr> running;
  };
  struct Session {
    CachePtr cache;  // null once closed
    std::vector<CachePtr> former;
  };
  // A caller, and what it heard, in the words of Told().
  using Log = std::vector<std::pair<int, std::string>>;

  Model(std::optional<int64_t> max_bytes, int max_depth, std::vector<Policy> methods);

  Session Open() { return {NewCache(), {}}; }
  Receipt Close(Session& session);
  Receipt Update(Session& session);
  // Null: all sessions and what they share; no method: all methods.
  Receipt Clear(const std::vector<Session*>& open, Session* session, std::optional<int> method);

  struct Call {
    int caller;
    CachePtr cache;
    int method;
    std::string key;
    Control control;
    Time now;
    FlightPtr parent;
  };
  // The flight that the call starts; null if it starts none.
  FlightPtr Start(const Call& call);
  bool Begin(Flight& flight, Time now);
  void Complete(FlightPtr flight, std::string answer, Time now);
  void Fail(FlightPtr flight, const std::string& error);
  void Abandon(FlightPtr flight, const std::string& error);
  void Leave(FlightPtr flight, int caller);
  bool Cancelled(Flight& flight);
  void CountError(Flight& flight);

  CacheInfo Info(const Cache& cache, int method) const;
  CacheInfo Total(const std::vector<Session*>& open, int method) const;
  int64_t bytes() const;
  int64_t entries(int method) const;

  const CachePtr& shared() const { return shared_; }
  // What was heard since the last time.
  Log TakeLog() { return std::exchange(log_, {}); }

 private:
  struct Entry {
    Cache* cache;
    int method;
    std::string key;
    std::string answer;
    Time computed_at;
    double took;
    int64_t charge;
  };
  using Which = std::function<bool(const Entry&)>;

  CachePtr NewCache() const;
  bool Expired(const Entry& entry, Time now) const;
  bool Found(const Call& call);
  std::string Refused(const Call& call) const;
  void Store(const Flight& flight, std::string answer, Time now);
  // Evicts the least recently used of those meant until `holds`.
  void EvictUntil(const std::function<bool()>& holds, const Which& which, Time now);
  Receipt Drop(const Which& which);
  Receipt Detach(Cache& cache);
  void Abort(Cache& cache);
  void End(Flight& flight, const std::string& heard);
  void Hear(int caller, CacheStatus status, const std::string& what);

  const std::optional<int64_t> max_bytes_;
  const int max_depth_;
  const std::vector<Policy> methods_;
  std::list<Entry> entries_;  // the least recently used first
  const CachePtr shared_;
  std::vector<Counters> history_, baselines_;  // by method
  Log log_;
};

}  // namespace memod
