// Waiting for what no event tells.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace memod {

// A test that waits longer than this has failed.
inline constexpr std::chrono::seconds kPatience(30);

// Whether `get()` becomes `want` before patience is over.
template <typename Get, typename Want>
testing::AssertionResult Soon(Get get, const Want& want) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (true) {
    const auto is = get();
    if (is == want) return testing::AssertionSuccess();
    if (std::chrono::steady_clock::now() > deadline) {
      return testing::AssertionFailure()
             << "still " << testing::PrintToString(is) << ", not " << testing::PrintToString(want);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace memod
