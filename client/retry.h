// A unary call on a session that is made again, because no computation can have begun for it.
// Internal to the library.
#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace memod {

class Seat;
class SessionKeeper;

using ReceivedMetadata = std::multimap<grpc::string_ref, grpc::string_ref>;

// Whether a call that ended like this was not computed, nor will be: its session is unknown where it
// came to, or gRPC found no connection to send it by.
bool WasNotComputed(const grpc::Status& status, const ReceivedMetadata& trailers,
                    const std::string& debug_error);

// Waits until a stream holds the session, makes the call there, and so on until it has an answer of
// another kind, its deadline is over, it is cancelled, or the session will not come back in time.
// Whoever starts it keeps it until it has ended. Thread-safe.
class Retry : public std::enable_shared_from_this<Retry> {
 public:
  struct Call {
    std::string method;
    std::multimap<std::string, std::string> metadata;  // as it was sent, the former handle included
    grpc::ByteBuffer request;
    grpc::ClientContext* context;  // of the call; there until the retry has ended
  };
  struct Answer {
    grpc::Status status;
    std::shared_ptr<grpc::ClientContext>
        context;                // owns the metadata; null: as of the first answer
    grpc::ByteBuffer response;  // if OK
  };
  using Ended = std::function<void(Answer)>;

  // `failure` is how the call ended that is to be made again.
  Retry(std::weak_ptr<SessionKeeper> keeper, Call call, grpc::Status failure)
      : keeper_(std::move(keeper)), call_(std::move(call)), failure_(std::move(failure)) {}

  // Runs `ended` once, on one of gRPC's threads, possibly before this returns.
  void Start(Ended ended);
  // Ends it soon; or as soon as it starts. Runs nothing of the caller's itself.
  void Cancel() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Clock = std::chrono::steady_clock;
  struct Attempt;

  void CancelNow() ABSL_LOCKS_EXCLUDED(mutex_);
  bool cancelled() const ABSL_LOCKS_EXCLUDED(mutex_);
  void Wait() ABSL_LOCKS_EXCLUDED(mutex_);
  void GoOn() ABSL_LOCKS_EXCLUDED(mutex_);
  void Make(std::shared_ptr<Seat> seat) ABSL_LOCKS_EXCLUDED(mutex_);
  void OnAnswer(const std::shared_ptr<Attempt>& attempt, const grpc::Status& status)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void End(Answer answer);

  const std::weak_ptr<SessionKeeper> keeper_;
  const Call call_;
  const Clock::time_point began_ = Clock::now();

  // One step follows the other, each alone.
  grpc::Status failure_;  // the last
  size_t failures_ = 0;
  Ended ended_;

  mutable absl::Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<Attempt> attempt_ ABSL_GUARDED_BY(mutex_);  // under way
  std::unique_ptr<grpc::Alarm> pause_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<grpc::Alarm> canceller_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace memod
