// A stream of PipelineService as anybody speaks it: with the generated classes and nothing of ours.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "memo/v1/pipeline.grpc.pb.h"
#include "memod/cache/metadata.h"
#include "memod/tests/testing/call.h"

namespace memod {

// Not thread-safe. Every wait ends when patience is over. Cancels what has not ended.
class RawPipeline {
 public:
  // `handle` nullopt: without a session. Binds kCompute, kOther, kShared to 1, 2, 3.
  RawPipeline(const std::shared_ptr<grpc::Channel>& channel,
              const std::optional<std::string>& handle, const Metadata& metadata = {});
  ~RawPipeline();
  RawPipeline(const RawPipeline&) = delete;
  RawPipeline& operator=(const RawPipeline&) = delete;

  // False: the stream is over.
  bool Send(const memo::v1::CallRequest& message) { return stream_->Write(message); }
  // A message with a call for each key, ids counted up from `first_id`.
  bool Send(uint64_t first_id, const std::vector<std::string>& keys,
            memo::v1::Control control = memo::v1::CONTROL_UNSPECIFIED, uint32_t method = 1);
  void HalfClose() { stream_->WritesDone(); }
  void Cancel() { context_.TryCancel(); }

  // Blocks until the answer to a call is there; null: the stream is over without it.
  const memo::v1::PipelinedAnswer* Answer(uint64_t id);
  // The same as Told::Words says it: "hit a:x", "NOT_FOUND SESSION_NOT_FOUND", "OUT_OF_RANGE: why";
  // "cut off" without an answer.
  std::string Words(uint64_t id);
  // Sends a call and waits for its answer.
  std::string Get(const std::string& key, memo::v1::Control control = memo::v1::CONTROL_UNSPECIFIED,
                  uint32_t method = 1);
  // Reads a message of answers; nullopt: the stream is over.
  std::optional<memo::v1::CallResponse> Read();

  // Reads what is left, then how the stream ended: as Told::Words says an error, or "OK".
  std::string End();
  const std::map<uint64_t, memo::v1::PipelinedAnswer>& answers() const { return answers_; }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<memo::v1::CallRequest, memo::v1::CallResponse>> stream_;
  std::map<uint64_t, memo::v1::PipelinedAnswer> answers_;  // those that came, each id once
  uint64_t next_id_ = 1'000'000;
  std::optional<std::string> end_;
};

// The calls of a message, for what Send does not say.
void AddCall(memo::v1::CallRequest& message, uint64_t id, const std::string& key,
             uint32_t method = 1);

}  // namespace memod
