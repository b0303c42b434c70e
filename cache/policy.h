// How a method's answers are remembered: what a user sets, in code or in TOML.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "memod/cache/time.h"

namespace memod {

// Who shares the entries of a method.
enum class Scope {
  kSession,  // one cache per session: the method's answers depend on the session's state
  kServer,   // one cache for everybody, as functools.lru_cache on a function
};

struct Policy {
  // Entries per session, or in server scope of the server's one cache. 0: every call computes by
  // itself and nothing is stored; negative is 0; nullopt: unbounded.
  std::optional<int64_t> max_entries = 128;
  // Entries over all sessions; nullopt: unbounded. 0 and negative as above.
  std::optional<int64_t> max_entries_total = std::nullopt;
  // A larger answer is delivered, not stored, and counted as too_large.
  int64_t max_entry_bytes = 1 << 20;
  // An entry expires this long after it was computed; nullopt: never.
  std::optional<Duration> ttl = std::nullopt;
  // A computation that takes longer, its wait for a thread included, is given up, whoever waits.
  Duration compute_timeout = std::chrono::minutes(5);
  // Equal calls share one computation.
  bool coalesce = true;
  // Not a user's choice for a hosted class: a function registered without an instance has server
  // scope, a method with one has session scope.
  Scope scope = Scope::kSession;

  // Whether anything is ever stored.
  bool stores() const { return max_entries.value_or(1) > 0 && max_entries_total.value_or(1) > 0; }
};

}  // namespace memod
