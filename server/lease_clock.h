// Tells leases what time it is. One thread, which sleeps while there is no lease.
#pragma once

#include <thread>

#include "memod/cache/lease.h"

namespace memod {

class LeaseClock {
 public:
  // `leases` outlives the clock, and is stopped with it.
  explicit LeaseClock(Leases& leases);
  ~LeaseClock();

 private:
  Leases& leases_;
  std::thread thread_;
};

}  // namespace memod
