// What an upstream says by server reflection of its services and their types.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "memod/cache/mutex.h"
#include "memod/cache/time.h"
#include "memod/server/proto_files.h"
#include "memod/server/upstream.h"

namespace grpc {
class ClientContext;
}

namespace memod {

// Thread-safe.
class UpstreamTypes {
 public:
  using Files = std::shared_ptr<const ProtoFiles>;

  // The upstream outlives it.
  explicit UpstreamTypes(Upstream& upstream) : upstream_(upstream) {}
  // Gives up what is asked.
  ~UpstreamTypes();

  // Asks, v1 or else v1alpha, and returns at once. To be called whenever the upstream is connected:
  // it may be another one than before.
  void Ask() ABSL_LOCKS_EXCLUDED(mutex_);

  // The last that it said. Null: nothing so far.
  Files files() const ABSL_LOCKS_EXCLUDED(mutex_);

  // What it is taken to be as long as it has said nothing.
  void Assume(Files files) ABSL_LOCKS_EXCLUDED(mutex_);

  // Whether this method of it is known to take one message and to answer with one.
  bool IsUnary(const std::string& method) const ABSL_LOCKS_EXCLUDED(mutex_);

  // Calls `listener` with what it has said last, if anything, and with each answer to come. Under
  // this object's mutex: it neither blocks nor calls this. Once.
  void Listen(std::function<void(const ProtoFiles& files)> listener) ABSL_LOCKS_EXCLUDED(mutex_);

  // Waits for the first answer. UNIMPLEMENTED: it has no reflection. DEADLINE_EXCEEDED: there was no
  // connection, or no answer, until then. Any other: why there is none.
  absl::StatusOr<Files> Await(Time until) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  class Question;

  void Start(bool v1) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Ended(bool v1, absl::StatusOr<Files> answer) ABSL_LOCKS_EXCLUDED(mutex_);

  Upstream& upstream_;

  mutable Mutex mutex_;
  std::condition_variable_any changed_;
  std::shared_ptr<grpc::ClientContext> asking_ ABSL_GUARDED_BY(mutex_);
  bool again_ ABSL_GUARDED_BY(mutex_) = false;  // once what is asked has ended
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  bool answered_ ABSL_GUARDED_BY(mutex_) = false;  // at least once
  std::function<void(const ProtoFiles&)> listener_ ABSL_GUARDED_BY(mutex_);
  Files files_ ABSL_GUARDED_BY(mutex_);
  Files assumed_ ABSL_GUARDED_BY(mutex_);
  absl::Status last_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace memod
