// A gRPC service behind memod: the connections to it, and what became of the calls.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "memod/cache/mutex.h"
#include "memod/cache/time.h"
#include "memod/server/config.h"
#include "memod/server/grpc_metadata.h"

namespace memod {

// Thread-safe.
class Upstream {
 public:
  using Stub = grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer>;

  // Connects in the background, now; UpstreamWatcher does again whenever a connection is lost.
  explicit Upstream(const UpstreamConfig& config);
  // Waits for what is held, which ends soon, having been cancelled.
  ~Upstream();

  // Held by a computation, or by a question of memod's own, as long as it uses anything that the
  // upstream is destroyed before.
  class Hold {
   public:
    explicit Hold(Upstream& upstream);
    ~Hold();
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    Upstream& upstream_;
  };

  const std::string& name() const { return name_; }
  const std::string& target() const { return target_; }
  // As configured; empty: whatever nobody else serves.
  const std::vector<std::string>& services() const { return services_; }
  // Over one of the connections, in turn; those that are up go first.
  Stub& stub();

  // Whether any connection is up.
  bool connected() const;
  // The same as UpstreamWatcher was told of it, and since when it is so.
  struct State {
    bool connected = false;
    Time since = Clock::now();
  };
  State state() const ABSL_LOCKS_EXCLUDED(mutex_);
  // That the connection of this channel came up or was lost.
  void SetUp(size_t channel, bool up) ABSL_LOCKS_EXCLUDED(mutex_);
  const std::vector<std::shared_ptr<grpc::Channel>>& channels() const { return channels_; }
  int64_t in_flight() const { return in_flight_.load(std::memory_order_relaxed); }
  // Those that have ended.
  int64_t calls() const { return calls_.load(std::memory_order_relaxed); }
  int64_t errors() const { return errors_.load(std::memory_order_relaxed); }

  // One more call goes to it, and Ended or EndedUnary follows.
  // RESOURCE_EXHAUSTED, and it is none: as many as may be are in flight (memo-error: LIMIT).
  absl::Status Begin();
  // What a call came to, for its caller and the counters. The upstream's own errors are as they
  // were, with details and trailers; where there is no connection to it, UNAVAILABLE without either
  // names it (memo-error: UPSTREAM).
  absl::Status Ended(const grpc::Status& status, const GrpcMetadata& trailers);
  // The same of a unary call: OK without an answer is UNIMPLEMENTED, as gRPC's own clients say.
  absl::Status EndedUnary(const grpc::Status& status, const GrpcMetadata& trailers,
                          const grpc::ByteBuffer& answer);

 private:
  const std::string name_;
  const std::string target_;
  const std::vector<std::string> services_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  std::vector<std::unique_ptr<Stub>> stubs_;
  std::vector<std::atomic<bool>> up_;  // of each channel, as SetUp was told
  std::atomic<uint32_t> next_{0};
  const int64_t max_calls_;
  std::atomic<int64_t> in_flight_{0};
  std::atomic<int64_t> calls_{0};
  std::atomic<int64_t> errors_{0};

  mutable Mutex mutex_;
  std::condition_variable_any idle_;
  int holds_ ABSL_GUARDED_BY(mutex_) = 0;
  State state_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace memod
