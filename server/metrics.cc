#include "memod/server/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <chrono>
#include <limits>
#include <utility>
#include <vector>

namespace memod {
namespace {

using memo::v1::CacheInfo;
using memo::v1::ServerGauges;
using memo::v1::UpstreamInfo;
using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// Initialized as the process starts.
const std::chrono::system_clock::time_point kStarted = std::chrono::system_clock::now();

constexpr double kUnbounded = std::numeric_limits<double>::infinity();

struct OfMethod {
  const char* name;
  MetricType type;
  const char* help;
  double (*value)(const CacheInfo& info);
};

// memo/v1/session.proto says more of each.
constexpr OfMethod kOfMethods[] = {
    {"memod_cache_hits_total", MetricType::Counter, "Lookups answered from the cache.",
     [](const CacheInfo& info) -> double { return info.hits(); }},
    {"memod_cache_misses_total", MetricType::Counter,
     "Lookups that were not, those that joined a computation under way among them.",
     [](const CacheInfo& info) -> double { return info.misses(); }},
    {"memod_cache_coalesced_total", MetricType::Counter,
     "Misses that joined a computation under way instead of starting one.",
     [](const CacheInfo& info) -> double { return info.coalesced(); }},
    {"memod_cache_evictions_total", MetricType::Counter, "Entries dropped for lack of room.",
     [](const CacheInfo& info) -> double { return info.evictions(); }},
    {"memod_cache_expirations_total", MetricType::Counter, "Entries dropped for their age.",
     [](const CacheInfo& info) -> double { return info.expirations(); }},
    {"memod_cache_too_large_total", MetricType::Counter,
     "Answers not stored because they were larger than a bound.",
     [](const CacheInfo& info) -> double { return info.too_large(); }},
    {"memod_computations_total", MetricType::Counter,
     "Computations started, those of bypass calls left out.",
     [](const CacheInfo& info) -> double { return info.computations(); }},
    {"memod_computation_errors_total", MetricType::Counter,
     "Computations that failed, or could not even start.",
     [](const CacheInfo& info) -> double { return info.errors(); }},
    {"memod_compute_seconds_total", MetricType::Counter,
     "Over the computations that have ended, the time that they took.",
     [](const CacheInfo& info) -> double { return info.compute_seconds(); }},
    {"memod_compute_seconds_saved_total", MetricType::Counter,
     "Over the hits, the time that computing their answers had taken.",
     [](const CacheInfo& info) -> double { return info.compute_seconds_saved(); }},
    {"memod_cache_entries", MetricType::Gauge,
     "Entries now, over all sessions; expired ones count until they are touched or evicted.",
     [](const CacheInfo& info) -> double { return info.currsize(); }},
    {"memod_cache_bytes", MetricType::Gauge,
     "Charge of the entries now: key, value and what an entry itself costs.",
     [](const CacheInfo& info) -> double { return info.bytes(); }},
    {"memod_cache_max_entries", MetricType::Gauge,
     "Most entries in one cache, a session's or the one that all share (max_entries).",
     [](const CacheInfo& info) {
       return info.policy().has_max_entries() ? info.policy().max_entries() : kUnbounded;
     }},
    {"memod_cache_max_entries_all_sessions", MetricType::Gauge,
     "Most entries over all sessions: what bounds memod_cache_entries (max_entries_total).",
     [](const CacheInfo& info) { return info.has_maxsize() ? info.maxsize() : kUnbounded; }},
};

struct OfServer {
  const char* name;
  const char* help;
  int64_t (ServerGauges::*value)() const;
};

constexpr OfServer kOfServer[] = {
    {"memod_sessions", "Open sessions.", &ServerGauges::sessions},
    {"memod_instances",
     "Instances of hosted classes, those that only a running call still holds included.",
     &ServerGauges::instances},
    {"memod_flights", "Computations under way, those that nobody waits for any more included.",
     &ServerGauges::flights},
    {"memod_holders", "Streams that hold a session.", &ServerGauges::holders},
    {"memod_leases",
     "What ends unless it is renewed: leased sessions, those that wait for a lost client, "
     "HoldSession's streams.",
     &ServerGauges::leases},
    {"memod_incarnations",
     "States of sessions with their memories, former ones that a computation still runs on "
     "included.",
     &ServerGauges::incarnations},
    {"memod_waiters", "Calls that wait for a computation.", &ServerGauges::waiters},
    {"memod_timers", "Computations whose compute_timeout is watched.", &ServerGauges::timers},
    {"memod_reactors",
     "Calls of methods, pipelines and streams of sessions that are not answered or ended yet.",
     &ServerGauges::reactors},
    {"memod_queued", "What waits for a thread: computations, and instances to be made.",
     &ServerGauges::queued},
    {"memod_unsent_bytes",
     "Of answers, unary ones and those on pipelines, that their clients have not taken.",
     &ServerGauges::unsent_bytes},
    {"memod_builds",
     "Openings of sessions, and changes of their state, that wait for an instance to be made.",
     &ServerGauges::builds},
    {"memod_calls",
     "Calls that wait for a computation or pass: as many as server.max_calls says at most.",
     &ServerGauges::calls},
};

struct OfUpstream {
  const char* name;
  MetricType type;
  const char* help;
  double (*value)(const UpstreamInfo& info);
};

constexpr OfUpstream kOfUpstreams[] = {
    {"memod_upstream_connected", MetricType::Gauge,
     "1 if any connection to the upstream is up, else 0.",
     [](const UpstreamInfo& info) -> double { return info.connected() ? 1 : 0; }},
    {"memod_upstream_calls_in_flight", MetricType::Gauge,
     "Calls to the upstream that have not ended.",
     [](const UpstreamInfo& info) -> double { return info.calls_in_flight(); }},
    {"memod_upstream_calls_total", MetricType::Counter,
     "Calls to the upstream that have ended: those that passed, and computations.",
     [](const UpstreamInfo& info) -> double { return info.calls(); }},
    {"memod_upstream_errors_total", MetricType::Counter,
     "Calls to the upstream that ended with an error, of whatever kind.",
     [](const UpstreamInfo& info) -> double { return info.errors(); }},
};

ClientMetric Sample(MetricType type, double value, std::vector<ClientMetric::Label> labels = {}) {
  ClientMetric metric;
  metric.label = std::move(labels);
  (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  return metric;
}

MetricFamily Gauge(const char* name, const char* help, double value,
                   std::vector<ClientMetric::Label> labels = {}) {
  return {name, help, MetricType::Gauge, {Sample(MetricType::Gauge, value, std::move(labels))}};
}

}  // namespace

std::string MetricsText(const memo::v1::AdminServiceGetCacheInfoResponse& history,
                        const memo::v1::ListUpstreamsResponse& upstreams) {
  std::vector<MetricFamily> families;
  for (const OfMethod& of : kOfMethods) {
    MetricFamily family{of.name, of.help, of.type, {}};
    for (const auto& method : history.methods()) {
      family.metric.push_back(
          Sample(of.type, of.value(method.info()), {{"method", method.method()}}));
    }
    families.push_back(std::move(family));
  }
  for (const OfUpstream& of : kOfUpstreams) {
    if (upstreams.upstreams().empty()) break;
    MetricFamily family{of.name, of.help, of.type, {}};
    for (const UpstreamInfo& info : upstreams.upstreams()) {
      family.metric.push_back(Sample(of.type, of.value(info), {{"upstream", info.name()}}));
    }
    families.push_back(std::move(family));
  }
  for (const OfServer& of : kOfServer) {
    families.push_back(
        Gauge(of.name, of.help, static_cast<double>((history.gauges().*of.value)())));
  }
  if (history.has_memory()) {
    const memo::v1::MemoryInfo& memory = history.memory();
    families.push_back(Gauge("memod_memory_used_bytes", "Memory in use, as server.max_memory says.",
                             static_cast<double>(memory.used_bytes())));
    families.push_back(
        Gauge("memod_memory_limit_bytes", "Its limit.", static_cast<double>(memory.limit_bytes())));
    families.push_back(Gauge("memod_memory_pressure",
                             "0: none; 1: entries are evicted; 2: no new sessions; 3: no new "
                             "entries; 4: no calls. Each includes those before it.",
                             memory.pressure() - memo::v1::MEMORY_PRESSURE_NONE));
  }
  families.push_back(Gauge("memod_build_info", "Always 1; the version of memod.", 1,
                           {{"version", MEMOD_VERSION}}));
  families.push_back(Gauge("process_start_time_seconds",
                           "When the process started, in seconds since 1970.",
                           std::chrono::duration<double>(kStarted.time_since_epoch()).count()));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace memod
