// HoldingStream::Resume: the stream of HoldSession, and its heartbeats.
#include <google/protobuf/util/time_util.h>
#include <grpcpp/alarm.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "memo/v1/session.grpc.pb.h"
#include "memod/client/holding_stream.h"

namespace memod {
namespace {

using memo::v1::HoldSessionRequest;
using memo::v1::HoldSessionResponse;
using memo::v1::SessionService;
using Clock = std::chrono::steady_clock;

// Whatever the server asks for.
constexpr std::chrono::milliseconds kShortestTimeout(30);

class ResumingStream final
    : public HoldingStream,
      public grpc::ClientBidiReactor<HoldSessionRequest, HoldSessionResponse>,
      public std::enable_shared_from_this<ResumingStream> {
 public:
  ResumingStream(std::shared_ptr<grpc::Channel> channel, memo::v1::Opened session,
                 const std::string& holder, Listener listener)
      : channel_(std::move(channel)), session_(std::move(session)), listener_(std::move(listener)) {
    context_.AddMetadata("memo-session", session_.handle());
    request_.mutable_hold()->set_holder(holder);
  }

  void Start() override {
    self_ = shared_from_this();
    SessionService::NewStub(channel_)->async()->HoldSession(&context_, this);
    AddHold();  // for the heartbeats, which gRPC does not know of
    StartRead(&event_);
    StartWrite(&request_);
    StartCall();
  }

  void Cancel() override { context_.TryCancel(); }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return EndHeartbeats();
    if (event_.has_held()) {
      BeginHeartbeats(event_.held());
      listener_.held(session_);
    } else if (event_.has_draining()) {
      listener_.draining();
    }
    {
      absl::MutexLock lock(&mutex_);
      heard_ = Clock::now();
    }
    StartRead(&event_);
  }

  void OnWriteDone(bool) override {
    absl::MutexLock lock(&mutex_);
    writing_ = false;
  }

  void OnDone(const grpc::Status& status) override {
    const std::shared_ptr<HoldingStream> self = std::move(self_);
    const Listener listener = std::move(listener_);
    listener.ended(EndOf(status, context_));
  }

  void BeginHeartbeats(const memo::v1::Held& held) ABSL_LOCKS_EXCLUDED(mutex_) {
    const std::chrono::milliseconds asked(
        google::protobuf::util::TimeUtil::DurationToMilliseconds(held.heartbeat_timeout()));
    absl::MutexLock lock(&mutex_);
    timeout_ = std::max(asked, kShortestTimeout);
    heard_ = Clock::now();
    AwaitNext();
  }

  // The hold is given back by the last beat, so that none finds the stream done; or here, if none
  // is to come.
  void EndHeartbeats() ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      ended_ = true;
      if (beat_.has_value()) return beat_->Cancel();
    }
    RemoveHold();
  }

  void Beat() ABSL_LOCKS_EXCLUDED(mutex_) {
    bool write = false, silent = false;
    {
      absl::MutexLock lock(&mutex_);
      silent = Clock::now() - heard_ > timeout_;
      write = !ended_ && !silent && !std::exchange(writing_, true);
    }
    // Not under the lock: gRPC may call back at once.
    if (silent) context_.TryCancel();
    if (write) {
      request_.mutable_heartbeat();
      StartWrite(&request_);
    }
    {
      absl::MutexLock lock(&mutex_);
      if (!ended_) return AwaitNext();
    }
    RemoveHold();  // the last use of this
  }

  void AwaitNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    beat_.emplace().Set(std::chrono::system_clock::now() + timeout_ / 3, [this](bool) { Beat(); });
  }

  const std::shared_ptr<grpc::Channel> channel_;
  const memo::v1::Opened session_;
  grpc::ClientContext context_;
  HoldSessionRequest request_;  // of the write under way
  HoldSessionResponse event_;
  Listener listener_;
  std::shared_ptr<HoldingStream> self_;  // from Start until done

  absl::Mutex mutex_;
  Clock::duration timeout_ ABSL_GUARDED_BY(mutex_) = {};
  Clock::time_point heard_ ABSL_GUARDED_BY(mutex_);  // anything from the server
  bool writing_ ABSL_GUARDED_BY(mutex_) = true;      // from Start on, `hold`
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<grpc::Alarm> beat_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::shared_ptr<HoldingStream> HoldingStream::Resume(std::shared_ptr<grpc::Channel> channel,
                                                     memo::v1::Opened session,
                                                     const std::string& holder, Listener listener) {
  KeepCallbackThreads();
  return std::make_shared<ResumingStream>(std::move(channel), std::move(session), holder,
                                          std::move(listener));
}

}  // namespace memod
