// The answers of a pipeline that its client has not taken: from when they are known until gRPC has
// sent them, as messages of a bounded size. Not thread-safe.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "memo/pipeline_codec.h"
#include "memod/cache/memo_cache.h"

namespace memod {

class PipelineAnswers {
 public:
  class Hits;

  void Add(uint64_t id, const Outcome& outcome);
  // Takes them all over.
  void Add(Hits& hits);

  // The next message to be written, in place of `message`. False: every answer was taken already.
  bool TakeMessage(grpc::ByteBuffer& message);
  // A message that was taken has been written.
  void Wrote(const grpc::ByteBuffer& message) { unsent_bytes_ -= message.Length(); }

  // Of all answers, those in a message that is being written too.
  int64_t unsent_bytes() const { return static_cast<int64_t>(unsent_bytes_); }

 private:
  // A response from this size on is sent as it is stored; copying a smaller one costs less than
  // what goes with a slice of its own.
  static constexpr size_t kLargeBytes = 4 << 10;
  // As pipeline.proto has them.
  static int32_t Numbered(CacheStatus status) { return static_cast<int32_t>(status) + 1; }
  static uint32_t Seconds(Duration age) {
    return static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(age).count());
  }

  // `response` null: there is none.
  void Append(pipeline::Answer answer, const Metadata& metadata, const Answer::Ref& response);
  void CloseMessage();

  std::deque<grpc::ByteBuffer> full_;
  pipeline::MessageWriter next_;
  size_t unsent_bytes_ = 0;
};

// What MemoCache::FindHits tells. It is told under the lock of that memory: so each is copied, or
// shared where copying is not all, and nothing else is done.
class PipelineAnswers::Hits {
 public:
  void Add(uint64_t id, const MemoCache::Found& found) {
    const Answer& answer = found.answer;
    const bool plain = answer.code() == absl::StatusCode::kOk && !answer.has_metadata() &&
                       answer.size() < kLargeBytes;
    if (plain) {
      copied_.AddPlain(id, Numbered(CacheStatus::kHit), Seconds(found.age), answer.bytes());
    } else {
      shared_.push_back({id, found.Share(), found.age});
    }
  }

 private:
  friend class PipelineAnswers;
  struct Shared {
    uint64_t id;
    Answer::Ref answer;  // or a remembered error
    Duration age;
  };
  pipeline::MessageWriter copied_;
  std::vector<Shared> shared_;
};

}  // namespace memod
