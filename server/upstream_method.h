// Methods of an upstream that are memoized: who computes them is the upstream.
#pragma once

#include "memod/server/method_table.h"
#include "memod/server/upstream.h"

namespace memod {

// A ComputeFn that calls the upstream with the flight's request and metadata, and what the session
// captured. It returns at once; the call is cancelled when nobody waits for it any more, and at the
// latest when compute_timeout is over. The answer keeps, of its metadata and trailers, what
// answer.metadata lists. An error keeps its details, and its trailers. The upstream outlives it.
ComputeFn MakeUpstreamComputeFn(Upstream& upstream);

}  // namespace memod
