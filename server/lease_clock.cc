#include "memod/server/lease_clock.h"

namespace memod {

LeaseClock::LeaseClock(Leases& leases)
    : leases_(leases), thread_([&leases] {
        while (leases.AwaitAny()) {
          std::this_thread::sleep_for(Leases::kTick);
          leases.Advance(Clock::now());
        }
      }) {}

LeaseClock::~LeaseClock() {
  leases_.Stop();
  thread_.join();
}

}  // namespace memod
