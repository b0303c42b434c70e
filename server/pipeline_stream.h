// One stream of PipelineService: takes many calls from a message, and sends the answers that are
// ready.
//
// Whoever works on a message is alone with it; that is one of gRPC's event threads, and it ends
// when the message does, or when no more may be under way (HasRoom). Then the write that brings
// room lets its own thread go on. Hits are answered many under one lock of their memory; what is
// none goes through Dispatcher::Call, one by one, and waits for its flight. Thread-safe.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "memo/pipeline_codec.h"
#include "memod/cache/mutex.h"
#include "memod/server/pipeline_answers.h"
#include "memod/server/pipeline_service.h"

namespace memod {

class PipelineStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                             public std::enable_shared_from_this<PipelineStream> {
 public:
  // `service` holds a reference to the stream until gRPC is done with it.
  PipelineStream(PipelineService& service, const PipelineService::Environment& env,
                 grpc::CallbackServerContext& context);
  ~PipelineStream();

  // Once.
  void Start() ABSL_LOCKS_EXCLUDED(mutex_);
  // Takes no more calls, and ends when those that it has are answered.
  void Drain() ABSL_LOCKS_EXCLUDED(mutex_);

  // Of answers that the client has not taken.
  int64_t unsent_bytes() const ABSL_LOCKS_EXCLUDED(mutex_);
  // If the client does not read; by the WriteClock.
  std::optional<StalledCall> Stalled() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // A call that waits for its flight, in `waiting_` until it is answered.
  class WaitingCall final : public Waiter {
   public:
    WaitingCall(PipelineStream& stream, uint64_t id) : stream(stream), id(id) {}
    void OnAnswer(const Outcome& outcome) override { stream.Answered(*this, outcome); }

    PipelineStream& stream;
    const uint64_t id;
    std::shared_ptr<Flight> flight;  // guarded by the stream's mutex; null: not known yet
    Admission::Place place;
  };
  // What a number stands for on this stream.
  struct Bound {
    const Method* method = nullptr;
    bool key_is_request = false;  // and nothing else
    std::string unknown{};        // the name, if there is no such method; empty: not bound
  };

  void OnReadDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnCancel() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDone() override;

  // The message at hand. Only by whoever has set `working_`.
  void Work() ABSL_LOCKS_EXCLUDED(mutex_);
  pipeline::Next BeginMessage() ABSL_LOCKS_EXCLUDED(mutex_);
  void Bind(const pipeline::MethodNumber& method);
  pipeline::Next WorkOnSome() ABSL_LOCKS_EXCLUDED(mutex_);
  pipeline::Next ReadSome();
  void AnswerHits() ABSL_LOCKS_EXCLUDED(mutex_);
  void Begin(const pipeline::Call& call) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Check(const pipeline::Call& call) const;
  const Bound* BoundTo(const pipeline::Call& call) const;

  // Calls that wait.
  void Answered(WaitingCall& call, const Outcome& outcome) ABSL_LOCKS_EXCLUDED(mutex_);
  // False: it is being answered, or was, or it is not known yet what it waits for.
  bool Leave(WaitingCall& call) ABSL_LOCKS_EXCLUDED(mutex_);
  void Cancel(uint64_t id) ABSL_LOCKS_EXCLUDED(mutex_);
  void LeaveAll() ABSL_LOCKS_EXCLUDED(mutex_);

  void Append(uint64_t id, const Outcome& outcome) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AnswerNow(uint64_t id, const Outcome& outcome) ABSL_LOCKS_EXCLUDED(mutex_);

  bool HasRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The first of several counts.
  void End(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  // Does what is due next, one thing at a time: gRPC takes one write at once, and nothing after
  // Finish.
  void Advance() ABSL_LOCKS_EXCLUDED(mutex_);

  PipelineService& service_;
  const PipelineService::Environment& env_;
  grpc::CallbackServerContext& context_;
  const std::optional<std::string> handle_;  // of the session

  // Of the message at hand.
  grpc::ByteBuffer request_;
  grpc::Slice request_bytes_;
  pipeline::RequestReader reader_;
  std::vector<Bound> methods_;             // by number
  std::vector<MemoCache::Sought> sought_;  // of some of the message's calls, those that may be hits
  std::vector<pipeline::Call> seekers_;    // whose those are
  PipelineAnswers::Hits hits_;             // their answers
  std::vector<pipeline::Call> calls_;      // those that are not
  size_t begun_ = 0;                       // of calls_

  mutable Mutex mutex_;
  bool has_message_ ABSL_GUARDED_BY(mutex_) = false;  // that is not worked off yet
  bool message_begun_ ABSL_GUARDED_BY(mutex_) = false;
  bool working_ ABSL_GUARDED_BY(mutex_) = false;
  bool half_closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool gone_ ABSL_GUARDED_BY(mutex_) = false;  // nobody is there to be answered
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint64_t, std::shared_ptr<WaitingCall>> waiting_ ABSL_GUARDED_BY(mutex_);
  PipelineAnswers answers_ ABSL_GUARDED_BY(mutex_);
  WriteLooks writing_ ABSL_GUARDED_BY(mutex_);
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;

  grpc::ByteBuffer response_;  // of the write under way
};

}  // namespace memod
