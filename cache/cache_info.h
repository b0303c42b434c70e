// cache_info in the words of Python's functools, and what goes beside them.
#pragma once

#include <cstdint>
#include <optional>

namespace memod {

// What a cache counts. Counters only grow; what a clear resets is a baseline beside them.
// Always: hits + misses = lookups. A lookup that joins a flight is a miss, also counted in
// coalesced. A bypass counts nowhere, a refresh is no lookup.
struct Counters {
  int64_t hits = 0;
  int64_t misses = 0;
  int64_t coalesced = 0;
  int64_t computations = 0;          // started, those of bypass calls left out
  int64_t errors = 0;                // computations that failed, or could not even start
  int64_t evictions = 0;             // entries dropped for lack of room
  int64_t expirations = 0;           // entries dropped for their age
  int64_t too_large = 0;             // answers not stored because they were larger than a bound
  double compute_seconds = 0;        // what computing took, also if nobody waited to the end
  double compute_seconds_saved = 0;  // over the hits, what computing their answers had taken

  Counters& operator+=(const Counters& o) { return Add(o, 1); }
  Counters& operator-=(const Counters& o) { return Add(o, -1); }
  friend Counters operator-(Counters a, const Counters& b) { return a -= b; }
  friend bool operator==(const Counters&, const Counters&) = default;

 private:
  Counters& Add(const Counters& o, int sign) {
    hits += sign * o.hits;
    misses += sign * o.misses;
    coalesced += sign * o.coalesced;
    computations += sign * o.computations;
    errors += sign * o.errors;
    evictions += sign * o.evictions;
    expirations += sign * o.expirations;
    too_large += sign * o.too_large;
    compute_seconds += sign * o.compute_seconds;
    compute_seconds_saved += sign * o.compute_seconds_saved;
    return *this;
  }
};

// What was released by a clear, a close or a change of state.
struct Receipt {
  int64_t entries = 0;
  int64_t bytes = 0;           // charge of the entries
  double compute_seconds = 0;  // what computing their answers had taken

  Receipt& operator+=(const Receipt& o) {
    entries += o.entries;
    bytes += o.bytes;
    compute_seconds += o.compute_seconds;
    return *this;
  }
  friend bool operator==(const Receipt&, const Receipt&) = default;
};

// One snapshot of a cache, or the sum of several.
struct CacheInfo {
  Counters counters;
  std::optional<int64_t> maxsize;  // nullopt: unbounded, or different bounds added up
  int64_t currsize = 0;            // expired entries count until they are touched or evicted
  int64_t bytes = 0;               // charge of the entries

  // The sum of caches; maxsize is not of their sum.
  CacheInfo& operator+=(const CacheInfo& o) {
    counters += o.counters;
    currsize += o.currsize;
    bytes += o.bytes;
    return *this;
  }
  friend bool operator==(const CacheInfo&, const CacheInfo&) = default;
};

}  // namespace memod
