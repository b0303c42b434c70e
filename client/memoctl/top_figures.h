// What `memoctl top` shows: how a server's counters went between two looks at them.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "memo/v1/admin.pb.h"

namespace memod {

// A look at the counters.
struct TopSample {
  absl::Time time;
  memo::v1::AdminServiceGetCacheInfoResponse info;
  std::vector<memo::v1::SessionInfo> sessions;
};

// Of the server, a method, or a session. Calls are lookups: those of `bypass` and `refresh` are
// not.
struct TopRow {
  std::string name;  // of a method, or a session's id
  memo::v1::CacheInfo info;
  double calls_per_second = 0;  // in between the two looks
  double hits_per_second = 0;
  double computations_per_second = 0;
  double hit_ratio = 0;             // of all calls; 0 if there were none
  double mean_compute_seconds = 0;  // of all computations; 0 if there were none
  // Of a session.
  std::string state_type;
  double age = 0;  // seconds
};

struct TopFigures {
  double seconds = 0;  // between the two looks
  memo::v1::ServerGauges gauges;
  TopRow total;
  std::vector<TopRow> methods;   // the slowest first
  std::vector<TopRow> sessions;  // in no order
};
// Of a level that was cleared, or is not in `before`: since then.
TopFigures Compare(const TopSample& before, const TopSample& now);

// Every figure under its name above, and the messages under theirs in the .proto.
std::string TopJson(const TopFigures& figures, int indent);

}  // namespace memod
