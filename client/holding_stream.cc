#include "memod/client/holding_stream.h"

#include <grpcpp/create_channel.h>

#include <utility>

#include "memod/client/grpc_status.h"

namespace memod {
namespace {

using memo::v1::OpenSessionRequest;
using memo::v1::OpenSessionResponse;
using memo::v1::SessionService;

// When the last channel of a process goes, gRPC 1.51 joins its callback threads, on whichever
// thread that is; on one of them it would join itself. A stream that ends by itself can be what
// lets go of the last channel, on such a thread. So one channel, which is connected to nothing,
// takes hold of those threads by a call and stays.
void KeepCallbackThreads() {
  struct Hold {
    std::unique_ptr<SessionService::Stub> stub =
        SessionService::NewStub(grpc::CreateChannel("", nullptr));
    grpc::ClientContext context;
    memo::v1::GetCacheInfoRequest request;
    memo::v1::GetCacheInfoResponse response;
  };
  // Volatile, or the compiler drops what nobody reads, and it looks leaked to a leak checker.
  [[maybe_unused]] static Hold* const volatile hold = [] {
    auto* made = new Hold;
    made->stub->async()->GetCacheInfo(&made->context, &made->request, &made->response,
                                      [](grpc::Status) {});
    return made;
  }();
}

absl::Status WhyLost(const grpc::Status& status) {
  if (status.ok()) return absl::AbortedError("the server ended the session");
  return FromGrpc(status);
}

}  // namespace

std::shared_ptr<HoldingStream> HoldingStream::Start(const std::shared_ptr<grpc::Channel>& channel,
                                                    OpenSessionRequest request,
                                                    SessionEvents events) {
  KeepCallbackThreads();
  std::shared_ptr<HoldingStream> stream(new HoldingStream(std::move(request), std::move(events)));
  {
    absl::MutexLock lock(&stream->mutex_);
    stream->self_ = stream;
  }
  // The stub is needed for the start only: the context keeps the channel.
  SessionService::NewStub(channel)->async()->OpenSession(&stream->context_, &stream->request_,
                                                         stream.get());
  stream->StartRead(&stream->event_);
  stream->StartCall();
  return stream;
}

absl::StatusOr<memo::v1::Opened> HoldingStream::AwaitOpened(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  if (!mutex_.AwaitWithDeadline(absl::Condition(this, &HoldingStream::Answered), deadline)) {
    return absl::DeadlineExceededError("the server did not open the session in time");
  }
  if (opened_.has_value()) return *opened_;
  return status_;
}

absl::Status HoldingStream::status() const {
  absl::MutexLock lock(&mutex_);
  return status_;
}

bool HoldingStream::draining() const {
  absl::MutexLock lock(&mutex_);
  return draining_;
}

absl::Status HoldingStream::Release() {
  SessionEvents dropped;  // after the lock: closures may hold anything
  absl::MutexLock lock(&mutex_);
  released_ = true;
  const absl::Status before = status_;
  if (status_.ok()) status_ = absl::FailedPreconditionError("the session is closed");
  if (telling_ == std::this_thread::get_id()) return before;
  mutex_.Await(absl::Condition(this, &HoldingStream::NothingIsTold));
  std::swap(dropped, events_);
  return before;
}

void HoldingStream::OnReadDone(bool ok) {
  if (!ok) return;  // OnDone follows and says why
  bool drains = false;
  {
    absl::MutexLock lock(&mutex_);
    if (event_.has_opened()) {
      opened_ = std::move(*event_.mutable_opened());
      OpenSessionRequest().Swap(&request_);  // the state can be large
    }
    drains = event_.has_draining() && !std::exchange(draining_, true);
  }
  if (drains) {
    TellUnlessReleased([this] {
      if (events_.draining) events_.draining();
    });
  }
  StartRead(&event_);
}

void HoldingStream::OnDone(const grpc::Status& status) {
  const absl::Status why = WhyLost(status);
  std::shared_ptr<HoldingStream> self;  // outlives the lock
  bool lost = false;
  {
    absl::MutexLock lock(&mutex_);
    self = std::move(self_);
    lost = opened_.has_value();
    if (status_.ok()) status_ = why;
  }
  if (!lost) return;
  TellUnlessReleased([this, &why] {
    if (events_.lost) events_.lost(why);
  });
}

template <typename Tell>
void HoldingStream::TellUnlessReleased(Tell tell) {
  {
    absl::MutexLock lock(&mutex_);
    if (released_) return;
    telling_ = std::this_thread::get_id();
  }
  tell();
  absl::MutexLock lock(&mutex_);
  telling_ = std::thread::id();
}

}  // namespace memod
