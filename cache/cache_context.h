// What all caches of a server share. Outlives them. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "memod/cache/budget.h"
#include "memod/cache/reaper.h"

namespace memod {

// Of each cache. nullopt: unbounded.
struct CacheLimits {
  // Charge of one session's entries: session.max_bytes.
  std::optional<int64_t> max_session_bytes = std::nullopt;
  // Of one flight: compute.max_waiters.
  std::optional<int64_t> max_waiters = std::nullopt;
};

struct CacheContext {
  explicit CacheContext(std::optional<int64_t> max_bytes, const CacheLimits& limits = {})
      : limits(limits), bytes(max_bytes) {}

  const CacheLimits limits;
  Budget bytes;  // cache.max_bytes
  // While it is not set, nothing new is remembered: the server is short of memory.
  std::atomic<bool> storing{true};
  std::atomic<int64_t> entries{0};
  std::atomic<int64_t> caches{0};     // MemoCaches alive, those only a flight keeps included
  std::atomic<int64_t> flights{0};    // alive, those that nobody waits for included
  std::atomic<int64_t> waiters{0};    // for flights, not answered yet
  std::atomic<int64_t> instances{0};  // of hosted classes, those only a running call holds included
  Reaper reaper;                      // last: what it frees counts itself out of the others
};

}  // namespace memod
