// How long to wait before trying again. Internal to the library.
#pragma once

#include <algorithm>
#include <cstddef>
#include <random>

#include "absl/time/time.h"

namespace memod {

// Random, so that not all clients come at once; on average longer after each failure, up to half of
// `longest`.
inline absl::Duration Backoff(size_t failures, absl::Duration shortest, absl::Duration longest) {
  static thread_local std::minstd_rand random(std::random_device{}());
  const absl::Duration most = std::min(longest, shortest * (1 << std::min<size_t>(failures, 10)));
  return most * std::uniform_real_distribution<>(0, 1)(random);
}

}  // namespace memod
