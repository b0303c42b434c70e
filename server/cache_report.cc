#include "memod/server/cache_report.h"

namespace memod {
namespace {

void Report(const CacheInfo& info, memo::v1::CacheInfo* out) {
  const Counters& counters = info.counters;
  out->set_hits(counters.hits);
  out->set_misses(counters.misses);
  if (info.maxsize) out->set_maxsize(*info.maxsize);
  out->set_currsize(info.currsize);
  out->set_coalesced(counters.coalesced);
  out->set_computations(counters.computations);
  out->set_errors(counters.errors);
  out->set_bytes(info.bytes);
  out->set_evictions(counters.evictions);
  out->set_expirations(counters.expirations);
  out->set_too_large(counters.too_large);
  out->set_compute_seconds(counters.compute_seconds);
  out->set_compute_seconds_saved(counters.compute_seconds_saved);
}

}  // namespace

void ReportReceipt(const Receipt& receipt, memo::v1::ReleaseReceipt* out) {
  out->set_entries(receipt.entries);
  out->set_bytes(receipt.bytes);
  out->set_compute_seconds(receipt.compute_seconds);
}

void ReportDuration(Duration duration, google::protobuf::Duration* out) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration);
  out->set_seconds(seconds.count());
  out->set_nanos(static_cast<int32_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(duration - seconds).count()));
}

void ReportPolicy(const Policy& policy, memo::v1::CachePolicy* out) {
  if (policy.max_entries) out->set_max_entries(*policy.max_entries);
  if (policy.max_entries_total) out->set_max_entries_total(*policy.max_entries_total);
  out->set_max_entry_bytes(policy.max_entry_bytes);
  if (policy.ttl) ReportDuration(*policy.ttl, out->mutable_ttl());
  ReportDuration(policy.compute_timeout, out->mutable_compute_timeout());
  out->set_coalesce(policy.coalesce);
  out->set_scope(ScopeName(policy.scope));
  out->set_typed(true);
  out->set_cache(policy.cache);
  *out->mutable_key_metadata() = {policy.key_metadata.begin(), policy.key_metadata.end()};
  *out->mutable_forward() = {policy.forward.begin(), policy.forward.end()};
  out->set_key_mode(policy.key_mode == KeyMode::kMessage ? "message" : "bytes");
  *out->mutable_key_ignore() = {policy.key_ignore.begin(), policy.key_ignore.end()};
  *out->mutable_answer_metadata() = {policy.answer_metadata.begin(), policy.answer_metadata.end()};
  if (policy.stale_if_error) ReportDuration(*policy.stale_if_error, out->mutable_stale_if_error());
  for (const auto& [code, ttl] : policy.negative) {
    memo::v1::NegativePolicy* negative = out->add_negative();
    negative->set_code(absl::StatusCodeToString(code));
    if (ttl) ReportDuration(*ttl, negative->mutable_ttl());
  }
}

void ReportCacheInfo(const std::vector<const Method*>& methods,
                     absl::FunctionRef<CacheInfo(const Method&)> info_of,
                     memo::v1::CacheInfo* total,
                     google::protobuf::RepeatedPtrField<memo::v1::MethodCacheInfo>* parts) {
  CacheInfo sum;
  for (const Method* method : methods) {
    const CacheInfo info = info_of(*method);
    sum += info;
    if (methods.size() == 1) sum.maxsize = info.maxsize;
    memo::v1::MethodCacheInfo* part = parts->Add();
    part->set_method(method->memo.name);
    Report(info, part->mutable_info());
    ReportPolicy(method->memo.policy, part->mutable_info()->mutable_policy());
  }
  Report(sum, total);
  if (methods.size() == 1) ReportPolicy(methods[0]->memo.policy, total->mutable_policy());
}

}  // namespace memod
