// Counts what is alive in the server, for administrators, metrics, and tests that want zero.
#pragma once

#include "memo/v1/admin.pb.h"
#include "memod/cache/session_table.h"
#include "memod/server/admission.h"
#include "memod/server/calls_in_flight.h"
#include "memod/server/compute_pool.h"
#include "memod/server/compute_timeouts.h"
#include "memod/server/incarnator.h"
#include "memod/server/pipeline_service.h"
#include "memod/server/session_service.h"

namespace memod {

// Those who count; none of them does so on a hit for this.
struct GaugeSources {
  const CacheContext& context;
  SessionTable& sessions;
  const ComputeTimeouts& timeouts;
  const ComputePool& pool;
  const CallsInFlight& calls;
  const SessionService& session_service;
  const PipelineService& pipelines;
  const Incarnator& incarnator;
  const Admission& admission;
};

// Each is what it was at some moment within the call. May take a while: it looks at every pipeline
// and every answer that is on its way.
memo::v1::ServerGauges ReadGauges(const GaugeSources& sources);

}  // namespace memod
