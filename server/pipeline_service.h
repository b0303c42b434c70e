// PipelineService of memo/v1/pipeline.proto: many calls on one stream. See pipeline_stream.h.
#pragma once

#include <grpcpp/impl/service_type.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "memod/cache/mutex.h"
#include "memod/server/calls_in_flight.h"
#include "memod/server/dispatcher.h"
#include "memod/server/write_clock.h"

namespace memod {

class PipelineStream;

// Registered as generated code registers its methods, with bytes in and out.
class PipelineService final : public grpc::Service {
 public:
  // What the service works on; all outlive it.
  struct Environment {
    Dispatcher& dispatcher;
    const Admission& admission;
    CallsInFlight& calls;  // each stream is one
    const int64_t max_request_bytes;
    // Of a stream: calls that wait for a computation, and bytes of answers that are not sent.
    const int64_t max_calls;
    const int64_t max_unsent_bytes;
  };
  explicit PipelineService(const Environment& environment);

  // Refuses new streams and new calls with UNAVAILABLE from now on; a stream ends as soon as all of
  // its calls are answered.
  void Drain() ABSL_LOCKS_EXCLUDED(mutex_);

  // Of answers that clients have not taken.
  int64_t unsent_bytes() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Streams whose clients do not read; by the WriteClock.
  std::vector<StalledCall> Stalled() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  friend class PipelineStream;
  // The stream has ended; nothing uses it any more.
  void Done(const std::shared_ptr<PipelineStream>& stream) ABSL_LOCKS_EXCLUDED(mutex_);

  std::vector<std::shared_ptr<PipelineStream>> Streams() const ABSL_LOCKS_EXCLUDED(mutex_);

  const Environment env_;

  mutable Mutex mutex_;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_set<std::shared_ptr<PipelineStream>> streams_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace memod
