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
#include "memod/server/config.h"
#include "memod/server/grpc_metadata.h"

namespace memod {

// Thread-safe.
class Upstream {
 public:
  using Stub = grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer>;

  // Connects in the background, now and whenever the connection is lost.
  explicit Upstream(const UpstreamConfig& config);
  // Waits for the computations under way, which end soon, having been cancelled.
  ~Upstream();

  // Held by a computation as long as it uses anything that the upstream is destroyed before.
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
  // Over one of the connections, in turn.
  Stub& stub() { return *stubs_[next_.fetch_add(1, std::memory_order_relaxed) % stubs_.size()]; }

  // Whether any connection is up.
  bool connected() const;
  int64_t calls() const { return calls_.load(std::memory_order_relaxed); }
  int64_t errors() const { return errors_.load(std::memory_order_relaxed); }

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
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  std::vector<std::unique_ptr<Stub>> stubs_;
  std::atomic<uint32_t> next_{0};
  std::atomic<int64_t> calls_{0};
  std::atomic<int64_t> errors_{0};

  Mutex mutex_;
  std::condition_variable_any idle_;
  int holds_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace memod
