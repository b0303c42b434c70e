// A method as the caches see it: its name, its policy, and the bounds that its entries are under.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "memod/cache/budget.h"
#include "memod/cache/policy.h"

namespace memod {

// The bounds of one method's cache, or of the cache that several methods name in their policies.
// Thread-safe.
struct CacheBounds {
  CacheBounds(std::string name, const Policy& policy);

  const std::string name;
  const std::optional<int64_t> max_entries;  // in each session
  Budget total_entries;                      // over all sessions: max_entries_total
};

// What an answer has room for to say whose it is; beyond it the process ends at once.
constexpr uint32_t kMaxMethods = 1 << 16;

// Lives as long as the process serves. Thread-safe.
struct MemoizedMethod {
  // `bounds`: of the cache that it names; null: its own.
  MemoizedMethod(uint32_t id, std::string name, const Policy& policy,
                 std::shared_ptr<CacheBounds> bounds = nullptr);

  const uint32_t id;       // unique in the process, counted from 0, below kMaxMethods
  const std::string name;  // "/memo.examples.v1.SlowAdder/Calculate"
  // Bounds from 0, times up to ten years: what is beyond reads as that. `cache` is never empty.
  const Policy policy;
  const std::shared_ptr<CacheBounds> bounds;
};

}  // namespace memod
