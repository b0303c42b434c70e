// The time that caches go by: it never jumps and never goes back. Whoever calls a cache says what
// time it is; no cache looks at a clock.
#pragma once

#include <chrono>

namespace memod {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;
using Duration = Clock::duration;

inline double ToSeconds(Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace memod
