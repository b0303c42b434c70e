// What memod has counted, for Prometheus to scrape. A view: nothing is counted here.
#pragma once

#include <string>

#include "memo/v1/admin.pb.h"

namespace memod {

// Of an answer that holds MetricsText.
inline constexpr char kMetricsType[] = "text/plain; version=0.0.4; charset=utf-8";

// Prometheus' text format, 0.0.4. By method and by upstream, not by session: how many series there are does not
// depend on the clients. `history` is Admin::History's, so counters never go down as long as the
// process lives.
std::string MetricsText(const memo::v1::AdminServiceGetCacheInfoResponse& history,
                        const memo::v1::ListUpstreamsResponse& upstreams);

}  // namespace memod
