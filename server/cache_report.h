// What the caches say, as the messages of memo/v1: for clients and administrators alike.
#pragma once

#include <vector>

#include "absl/functional/function_ref.h"
#include "memo/v1/session.pb.h"
#include "memod/cache/cache_info.h"
#include "memod/cache/policy.h"
#include "memod/server/method_table.h"

namespace memod {

void ReportReceipt(const Receipt& receipt, memo::v1::ReleaseReceipt* out);
void ReportPolicy(const Policy& policy, memo::v1::CachePolicy* out);
void ReportDuration(Duration duration, google::protobuf::Duration* out);

// The cache_info of each method, and their sum. The sum of several has no maxsize and no policy.
void ReportCacheInfo(const std::vector<const Method*>& methods,
                     absl::FunctionRef<CacheInfo(const Method&)> info_of,
                     memo::v1::CacheInfo* total,
                     google::protobuf::RepeatedPtrField<memo::v1::MethodCacheInfo>* parts);

}  // namespace memod
