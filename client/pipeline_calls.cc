#include "memod/client/pipeline_calls.h"

#include <algorithm>
#include <utility>

#include "memod/client/in_callback.h"

namespace memod {
namespace {

// The one whose callbacks this thread is running.
thread_local const PipelineCalls* telling = nullptr;

class Telling {
 public:
  explicit Telling(const PipelineCalls* calls) : before_(std::exchange(telling, calls)) {}
  ~Telling() { telling = before_; }

 private:
  const PipelineCalls* const before_;
  const InCallback in_callback_;
};

PipelineAnswer ToAnswer(const pipeline::Answer& read) {
  PipelineAnswer answer;
  answer.response = read.response;
  answer.cache = static_cast<memo::v1::CacheStatus>(read.cache);
  answer.age_seconds = read.age_seconds;
  if (read.has_metadata) answer.metadata = pipeline::MetadataOf(read);
  if (read.failed) {
    answer.status = {static_cast<grpc::StatusCode>(read.error.code),
                     std::string(read.error.message), std::string(read.error.details)};
    answer.memo_error = std::string(read.error.memo_error);
  }
  return answer;
}

grpc::Status WhyLost(const grpc::Status& status) {
  if (!status.ok()) return status;
  return {grpc::StatusCode::UNAVAILABLE, "the server ended the pipeline"};
}

}  // namespace

std::shared_ptr<PipelineCalls> PipelineCalls::Start(std::shared_ptr<grpc::Channel> channel,
                                                    const PipelineOptions& options) {
  std::shared_ptr<PipelineCalls> calls(new PipelineCalls(std::move(channel), options));
  {
    absl::MutexLock lock(&calls->mutex_);
    calls->self_ = calls;
  }
  calls->stub_.PrepareBidiStreamingCall(&calls->context_, "/memo.v1.PipelineService/Call", {},
                                        calls.get());
  // Until nothing more can be read or is being written: writes are started from anywhere.
  calls->AddHold();
  calls->StartRead(&calls->response_);
  calls->StartCall();
  return calls;
}

PipelineCalls::PipelineCalls(std::shared_ptr<grpc::Channel> channel, const PipelineOptions& options)
    : options_(options), channel_(std::move(channel)), stub_(channel_) {}

uint64_t PipelineCalls::Call(std::string_view method, std::string_view request,
                             Pipeline::Callback done, memo::v1::Control control) {
  uint64_t id = 0;
  std::optional<PipelineAnswer> lost;
  {
    absl::MutexLock lock(&mutex_);
    // A callback that waited would wait for itself, or for those that wait for it.
    if (!InCallback::Here()) mutex_.Await(absl::Condition(this, &PipelineCalls::HasRoom));
    id = next_id_++;
    lost = lost_;
    if (!lost_) {
      const uint32_t number = NumberOf(method);
      next_.Add(pipeline::Call{.id = id, .method = number, .control = control, .request = request});
      if (next_.size() >= options_.max_message_bytes) full_.push_back(next_.Take());
      outstanding_.emplace(id, std::move(done));
    }
  }
  if (lost) {
    const InCallback here;
    done(*lost);
  } else {
    SendNext();
  }
  return id;
}

uint32_t PipelineCalls::NumberOf(std::string_view method) {
  const auto known = numbers_.find(method);
  if (known != numbers_.end()) return known->second;
  // As many as a stream takes; beyond it they go to others, from the next message on.
  constexpr size_t kNumbers = 1024;
  if (numbers_.size() == kNumbers) {
    numbers_.clear();
    if (!next_.empty()) full_.push_back(next_.Take());
  }
  const auto number = static_cast<uint32_t>(numbers_.size());
  numbers_.emplace(std::string(method), number);
  next_.Add(pipeline::MethodNumber{.number = number, .name = method});
  return number;
}

void PipelineCalls::Cancel(uint64_t id) {
  {
    absl::MutexLock lock(&mutex_);
    if (!outstanding_.contains(id)) return;
    next_.AddCancelled(id);
  }
  SendNext();
}

absl::Status PipelineCalls::status() const {
  absl::MutexLock lock(&mutex_);
  return lost_ ? ToStatus(*lost_) : absl::OkStatus();
}

void PipelineCalls::Close() {
  context_.TryCancel();
  if (telling == this) return;
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(this, &PipelineCalls::NothingIsTold));
}

void PipelineCalls::SendNext() {
  {
    absl::MutexLock lock(&mutex_);
    if (writing_ || ended_) return;
    if (full_.empty() && next_.empty()) return;
    if (full_.empty()) full_.push_back(next_.Take());
    request_ = std::move(full_.front());
    full_.pop_front();
    writing_ = true;
  }
  StartWrite(&request_);
}

void PipelineCalls::OnWriteDone(bool ok) {
  bool ended = false;
  {
    absl::MutexLock lock(&mutex_);
    writing_ = false;
    ended = ended_;
  }
  if (ended) {
    RemoveHold();
  } else if (ok) {  // else the stream has ended, and the read will say so
    SendNext();
  }
}

void PipelineCalls::OnReadDone(bool ok) {
  if (ok && !TellAnswers(response_)) {
    context_.TryCancel();
    ok = false;
  }
  if (ok) return StartRead(&response_);
  bool idle = false;
  {
    absl::MutexLock lock(&mutex_);
    ended_ = true;
    idle = !writing_;
  }
  if (idle) RemoveHold();
}

bool PipelineCalls::TellAnswers(const grpc::ByteBuffer& message) {
  grpc::Slice slice;
  pipeline::ResponseReader reader(pipeline::InOnePiece(message, slice));
  pipeline::Next next;
  {
    absl::MutexLock lock(&mutex_);
    pipeline::Answer answer;
    while ((next = reader.Read(answer)) == pipeline::Next::kOne) {
      const auto it = outstanding_.find(answer.id);
      if (it == outstanding_.end()) continue;
      answered_.emplace_back(answer, std::move(it->second));
      outstanding_.erase(it);
    }
  }
  {
    const Telling here(this);
    for (auto& [answer, done] : answered_) done(ToAnswer(answer));
    answered_.clear();  // what a callback holds may be the last of a Pipeline or a Client
  }
  return next == pipeline::Next::kEnd;
}

void PipelineCalls::OnDone(const grpc::Status& status) {
  PipelineAnswer answer;
  answer.status = WhyLost(status);
  const auto word = context_.GetServerTrailingMetadata().find("memo-error");
  if (word != context_.GetServerTrailingMetadata().end()) {
    answer.memo_error = std::string(word->second.data(), word->second.size());
  }
  absl::flat_hash_map<uint64_t, Pipeline::Callback> outstanding;
  {
    absl::MutexLock lock(&mutex_);
    lost_ = answer;
    outstanding.swap(outstanding_);
  }
  {
    const Telling here(this);
    for (auto& [id, done] : outstanding) done(answer);
    outstanding.clear();  // as in TellAnswers
  }
  std::shared_ptr<PipelineCalls> self;  // outlives the lock
  absl::MutexLock lock(&mutex_);
  self = std::move(self_);
}

}  // namespace memod
