// Redis, as its own benchmark measures it.
#pragma once

#include <string>

#include "runner.h"

namespace memod::benchmark {

// What a side of a pair did, and what its server used for it.
struct Rate {
  double per_second = 0;
  double per_cpu_second = 0;
};

class RedisSide {
 public:
  // Of a server at `options.peer`, whose process is `options.peer_pid`. Stores what is asked for:
  // `keys` keys of 16 bytes with values of `value_bytes`.
  RedisSide(const Options& options, int keys, int value_bytes);

  // redis-benchmark GET, 64 at once on each connection, keys at random; for about `seconds`.
  Rate MeasureGets(double seconds);

 private:
  const Options& options_;
  const int keys_;
  const int value_bytes_;
  double last_per_second_ = 500'000;
};

}  // namespace memod::benchmark
