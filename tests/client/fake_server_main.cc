// The fake server as a process of its own, to be frozen and killed. Prints its address, and ends
// with its standard input.
#include <cstdio>
#include <iostream>

#include "absl/synchronization/mutex.h"
#include "memod/tests/client/fake_server.h"

int main() {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  memod::FakeServer server;
  std::cout << server.address() << std::endl;
  while (std::getchar() != EOF) continue;
}
