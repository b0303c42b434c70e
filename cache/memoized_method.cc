#include "memod/cache/memoized_method.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace memod {
namespace {

// Added to a time of now it does not overflow.
constexpr Duration kLongest = std::chrono::hours(24 * 3650);

std::optional<int64_t> AtLeastZero(std::optional<int64_t> bound) {
  if (bound) bound = std::max<int64_t>(0, *bound);
  return bound;
}

Policy Normalized(Policy policy, const std::string& name) {
  policy.max_entries = AtLeastZero(policy.max_entries);
  policy.max_entries_total = AtLeastZero(policy.max_entries_total);
  if (policy.ttl) policy.ttl = std::min(*policy.ttl, kLongest);
  if (policy.stale_if_error) policy.stale_if_error = std::min(*policy.stale_if_error, kLongest);
  policy.compute_timeout = std::min(policy.compute_timeout, kLongest);
  for (auto& [code, ttl] : policy.negative) {
    if (ttl) ttl = std::min(*ttl, kLongest);
  }
  if (policy.cache.empty()) policy.cache = name;
  if (!policy.key_ignore.empty()) policy.key_mode = KeyMode::kMessage;
  return policy;
}

}  // namespace

CacheBounds::CacheBounds(std::string name, const Policy& policy)
    : name(std::move(name)),
      max_entries(AtLeastZero(policy.max_entries)),
      total_entries(AtLeastZero(policy.max_entries_total)) {}

MemoizedMethod::MemoizedMethod(uint32_t id, std::string name, const Policy& policy,
                               std::shared_ptr<CacheBounds> bounds)
    : id(id),
      name(std::move(name)),
      policy(Normalized(policy, this->name)),
      bounds(bounds != nullptr ? std::move(bounds)
                               : std::make_shared<CacheBounds>(this->policy.cache, this->policy)) {
  if (id < kMaxMethods) return;
  std::fprintf(stderr, "%s: more than %u memoized methods\n", this->name.c_str(), kMaxMethods);
  std::abort();
}

}  // namespace memod
