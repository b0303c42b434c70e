// The main of tests that run a server.
#include <gtest/gtest.h>

#include "absl/synchronization/mutex.h"
#include "memod/server/logging.h"

int main(int argc, char** argv) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  testing::InitGoogleTest(&argc, argv);
  memod::InitLogging(memod::LogLevel::off, memod::LogFormat::kText);
  return RUN_ALL_TESTS();
}
