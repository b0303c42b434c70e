// The stream of a Pipeline: gRPC's side of it. Internal to the library.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/client_callback.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "memo/pipeline_codec.h"
#include "memod/client/pipeline.h"

namespace memod {

// Keeps itself alive from Start until gRPC is done with it. Thread-safe.
class PipelineCalls final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  // `channel` is a session's, which it keeps.
  static std::shared_ptr<PipelineCalls> Start(std::shared_ptr<grpc::Channel> channel,
                                              const PipelineOptions& options);

  uint64_t Call(std::string_view method, std::string_view request, Pipeline::Callback done,
                memo::v1::Control control) ABSL_LOCKS_EXCLUDED(mutex_);
  void Cancel(uint64_t id) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status status() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends the stream, and returns when all that is told has been told; at once within a callback.
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  PipelineCalls(std::shared_ptr<grpc::Channel> channel, const PipelineOptions& options);

  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnReadDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDone(const grpc::Status& status) override ABSL_LOCKS_EXCLUDED(mutex_);

  // The number that stands for a method; bound in the next message where it is new.
  uint32_t NumberOf(std::string_view method) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Sends what has gathered, unless something is being sent.
  void SendNext() ABSL_LOCKS_EXCLUDED(mutex_);
  // What a message answers. False: it does not decode.
  bool TellAnswers(const grpc::ByteBuffer& message) ABSL_LOCKS_EXCLUDED(mutex_);

  bool HasRoom() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return outstanding_.size() < options_.max_outstanding || lost_.has_value();
  }
  bool NothingIsTold() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return self_ == nullptr; }

  const PipelineOptions options_;

  // gRPC's, from Start to OnDone.
  const std::shared_ptr<grpc::Channel> channel_;
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;   // of the write under way
  grpc::ByteBuffer response_;  // of the read under way
  // Of the message that is being told; only by whoever reads, which gRPC does one at a time.
  std::vector<std::pair<pipeline::Answer, Pipeline::Callback>> answered_;

  mutable absl::Mutex mutex_;
  std::shared_ptr<PipelineCalls> self_ ABSL_GUARDED_BY(mutex_);  // null once all is told
  absl::flat_hash_map<uint64_t, Pipeline::Callback> outstanding_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  std::map<std::string, uint32_t, std::less<>> numbers_ ABSL_GUARDED_BY(mutex_);
  // What is to be sent: messages that are full, and the next.
  std::deque<grpc::ByteBuffer> full_ ABSL_GUARDED_BY(mutex_);
  pipeline::MessageWriter next_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;  // nothing more can be read
  std::optional<PipelineAnswer> lost_
      ABSL_GUARDED_BY(mutex_);  // what every call is told from now on
};

}  // namespace memod
