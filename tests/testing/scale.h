// MEMOD_TEST_SCALE=10 makes the tests that do much do a tenth of it: for sanitizers.
#pragma once

#include <algorithm>
#include <cstdlib>

namespace memod {

inline int Scaled(int count) {
  const char* scale = std::getenv("MEMOD_TEST_SCALE");
  return scale == nullptr ? count : count / std::max(1, std::atoi(scale));
}

}  // namespace memod
