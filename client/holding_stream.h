// The stream that holds one session: gRPC's side of a SessionHandle. Internal to the library.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <memory>
#include <optional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "memo/v1/session.grpc.pb.h"
#include "memod/client/client.h"

namespace memod {

// Takes no thread while nothing happens. Keeps itself alive from Start until gRPC is done with it,
// so its holder can let go of it at any time without waiting. Thread-safe.
class HoldingStream final : public grpc::ClientReadReactor<memo::v1::OpenSessionResponse> {
 public:
  static std::shared_ptr<HoldingStream> Start(const std::shared_ptr<grpc::Channel>& channel,
                                              memo::v1::OpenSessionRequest request,
                                              SessionEvents events);

  // Blocks until the session is open, the server has refused it, or time is up.
  absl::StatusOr<memo::v1::Opened> AwaitOpened(absl::Time deadline) ABSL_LOCKS_EXCLUDED(mutex_);

  // OK until the stream ended or was released.
  absl::Status status() const ABSL_LOCKS_EXCLUDED(mutex_);
  bool draining() const ABSL_LOCKS_EXCLUDED(mutex_);

  // From now on no event is told, and none is being told, but for one that makes this very call.
  // Returns what status() was until now.
  absl::Status Release() ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends the stream, and the session with it. Release first.
  void Cancel() { context_.TryCancel(); }

 private:
  HoldingStream(memo::v1::OpenSessionRequest request, SessionEvents events)
      : request_(std::move(request)), events_(std::move(events)) {}

  void OnReadDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDone(const grpc::Status& status) override ABSL_LOCKS_EXCLUDED(mutex_);

  // Runs `tell` with no lock held unless the stream was released.
  template <typename Tell>
  void TellUnlessReleased(Tell tell) ABSL_LOCKS_EXCLUDED(mutex_);

  bool Answered() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return opened_.has_value() || !status_.ok();
  }
  bool NothingIsTold() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return telling_ == std::thread::id();
  }

  // gRPC's, from Start to OnDone.
  grpc::ClientContext context_;
  memo::v1::OpenSessionRequest request_;
  memo::v1::OpenSessionResponse event_;

  mutable absl::Mutex mutex_;
  std::shared_ptr<HoldingStream> self_ ABSL_GUARDED_BY(mutex_);  // null once done
  std::optional<memo::v1::Opened> opened_ ABSL_GUARDED_BY(mutex_);
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool released_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);      // the first reason stays
  std::thread::id telling_ ABSL_GUARDED_BY(mutex_);  // the thread that tells an event
  // Not guarded: read by whoever tells, which gRPC does one at a time, and dropped by Release when
  // nobody tells any more.
  SessionEvents events_;
};

}  // namespace memod
