// A unary call on a session that is made again, because no computation can have begun for it.
// Internal to the library.
#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>
#include <grpcpp/support/string_ref.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace memod {

class Seat;
class SessionKeeper;

using ReceivedMetadata = std::multimap<grpc::string_ref, grpc::string_ref>;

// Where a call that ended like this can be made again, since it was not computed, nor will be.
enum class Again {
  kNowhere,    // it may have been
  kAnywhere,   // its session is unknown where it came to, or gRPC found no connection to send it by
  kElsewhere,  // its server stops
};
Again WhereAgain(const grpc::Status& status, const ReceivedMetadata& trailers,
                 const std::string& debug_error);

// Waits until a stream holds the session, and not where the call was told that the server stops; makes
// the call there, and so on until it has an answer of another kind, its deadline is over, it is
// cancelled, or the session will not come back in time. Whoever starts it, once, keeps it until it has
// ended. It may be cancelled by any thread.
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
    std::shared_ptr<grpc::ClientContext> context;  // owns the metadata; null: there is none
    grpc::ByteBuffer response;                     // if OK
  };
  // nullopt: no attempt was made, and the call's own answer stands.
  using Ended = std::function<void(std::optional<Answer>)>;

  // `failure` is why the call is to be made again.
  Retry(std::weak_ptr<SessionKeeper> keeper, Call call, Again again, std::string failure);

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
  void Try(std::shared_ptr<Seat> seat) ABSL_LOCKS_EXCLUDED(mutex_);
  void OnAnswer(const std::shared_ptr<Attempt>& attempt, const grpc::Status& status)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void End(std::optional<Answer> answer);

  const std::weak_ptr<SessionKeeper> keeper_;
  const Call call_;
  const Clock::time_point began_ = Clock::now();

  // One step follows the other, each alone.
  std::string left_;                   // the handle on a server that stops; empty: none was told
  std::string failure_;                // the last
  std::optional<Answer> last_answer_;  // of that; nullopt: the call's own
  size_t failures_ = 0;
  Ended ended_;

  mutable absl::Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<Attempt> attempt_ ABSL_GUARDED_BY(mutex_);  // under way
  std::unique_ptr<grpc::Alarm> pause_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<grpc::Alarm> canceller_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace memod
