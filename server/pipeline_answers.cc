#include "memod/server/pipeline_answers.h"

#include <google/protobuf/stubs/common.h>

#include <string>

#include "absl/strings/escaping.h"
#include "memod/server/answer_slice.h"
#include "memod/server/grpc_status.h"

namespace memod {
namespace {

constexpr size_t kMessageBytes = 1 << 20;  // as pipeline.proto says

std::string AsUtf8(const std::string& text) {
  const bool valid = google::protobuf::internal::IsStructurallyValidUTF8(
      text.data(), static_cast<int>(text.size()));
  return valid ? text : absl::CHexEscape(text);
}

}  // namespace

void PipelineAnswers::Add(Hits& hits) {
  unsent_bytes_ += hits.copied_.size();
  if (next_.size() + hits.copied_.size() > kMessageBytes) CloseMessage();
  next_.Splice(hits.copied_);
  for (const Hits::Shared& hit : hits.shared_) {
    if (hit.answer->code() == absl::StatusCode::kOk) {
      Add(hit.id, Outcome{hit.answer, CacheStatus::kHit, hit.age});
    } else {
      Add(hit.id, Outcome{hit.answer->status(), CacheStatus::kHit, hit.age});
    }
  }
  hits.shared_.clear();
}

void PipelineAnswers::Add(uint64_t id, const Outcome& outcome) {
  const bool from_memory =
      outcome.status == CacheStatus::kHit || outcome.status == CacheStatus::kStale;
  pipeline::Answer answer{.id = id};
  // Of an error it is told only when it comes from memory, as with a unary call.
  if (outcome.answer.ok() || from_memory) answer.cache = Numbered(outcome.status);
  if (from_memory) answer.age_seconds = Seconds(outcome.age);
  if (outcome.answer.ok()) return Append(answer, (*outcome.answer)->metadata(), *outcome.answer);
  const grpc::Status status = ToGrpcStatus(outcome.answer.status());
  const std::string message = AsUtf8(status.error_message());
  const std::string details = status.error_details();
  answer.failed = true;
  answer.error = {.code = status.error_code(),
                  .message = message,
                  .details = details,
                  .memo_error = MemoErrorWord(outcome.answer.status())};
  Append(answer, TrailersOf(outcome.answer.status()), {});
}

void PipelineAnswers::Append(pipeline::Answer answer, const Metadata& metadata,
                             const Answer::Ref& response) {
  if (response) answer.response = response->bytes();
  const size_t size = answer.response.size();
  if (next_.size() + size > kMessageBytes) CloseMessage();
  const size_t before = next_.size();
  if (size < kLargeBytes) {
    next_.Add(answer, metadata);
  } else {
    next_.Add(answer, metadata, ToSlice(response));
  }
  unsent_bytes_ += next_.size() - before;
}

void PipelineAnswers::CloseMessage() {
  if (!next_.empty()) full_.push_back(next_.Take());
}

bool PipelineAnswers::TakeMessage(grpc::ByteBuffer& message) {
  if (full_.empty()) CloseMessage();
  if (full_.empty()) return false;
  message.Swap(&full_.front());  // a ByteBuffer that is moved is copied
  full_.pop_front();
  return true;
}

}  // namespace memod
