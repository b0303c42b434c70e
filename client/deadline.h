// When a timeout that begins now is over. Internal to the library.
#pragma once

#include <chrono>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace memod {

// Never, for one that no clock reaches: std's own sum would overflow.
inline std::chrono::system_clock::time_point DeadlineAfter(std::chrono::milliseconds timeout) {
  return absl::ToChronoTime(absl::Now() + absl::FromChrono(timeout));
}

}  // namespace memod
