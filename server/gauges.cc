#include "memod/server/gauges.h"

namespace memod {
namespace {

int64_t Value(const std::atomic<int64_t>& gauge) { return gauge.load(std::memory_order_relaxed); }

}  // namespace

memo::v1::ServerGauges ReadGauges(const GaugeSources& sources) {
  memo::v1::ServerGauges gauges;
  gauges.set_sessions(sources.sessions.size());
  gauges.set_holders(sources.sessions.holders());
  gauges.set_leases(sources.sessions.leases().size());
  gauges.set_incarnations(Value(sources.context.caches) - 1);  // but for the one of server scope
  gauges.set_instances(Value(sources.context.instances));
  gauges.set_flights(Value(sources.context.flights));
  gauges.set_waiters(Value(sources.context.waiters));
  gauges.set_timers(sources.timeouts.size());
  gauges.set_queued(sources.pool.queued());
  gauges.set_reactors(sources.calls.count_with_silent() + sources.session_service.streams());
  gauges.set_unsent_bytes(sources.pipelines.unsent_bytes() + sources.calls.unsent().bytes());
  gauges.set_builds(sources.incarnator.clients());
  gauges.set_calls(sources.admission.in_flight());
  gauges.set_bytes(sources.context.bytes.used());
  gauges.set_entries(Value(sources.context.entries));
  return gauges;
}

}  // namespace memod
