// Makes what a session runs on: from a state to an instance of its hosted class.
//
// Factories run on the compute pool. Of a class whose equal states are shared, sessions that are
// opened at once wait for one factory. Thread-safe.
#pragma once

#include <google/protobuf/any.pb.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "memod/cache/mutex.h"
#include "memod/cache/session.h"
#include "memod/server/compute_pool.h"
#include "memod/server/hosted_class.h"

namespace memod {

class Incarnator {
 public:
  // All outlive it.
  struct Environment {
    SessionTable& sessions;
    const Registry& registry;
    ComputePool& pool;
    int64_t max_state_bytes;
  };

  explicit Incarnator(const Environment& environment) : env_(environment) {}

  // Who wants an incarnation.
  struct Client {
    std::function<bool()> wanted;  // any thread; whether it is still there
    // Told once; on the compute pool, or at once if there is nothing to make.
    //   INVALID_ARGUMENT: no hosted class takes such a state, or it does not decode.
    //   RESOURCE_EXHAUSTED: the state is too large, or the pool's queue is full.
    //   CANCELLED: it was not wanted any more when its turn came.
    //   any other: what the factory returned.
    absl::AnyInvocable<void(absl::StatusOr<std::shared_ptr<Incarnation>>)> done;
  };
  // From `state` (nullopt: one without an instance) and the metadata that was captured when the
  // session was opened.
  void Make(std::optional<google::protobuf::Any> state, Metadata metadata, Client client)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Made = absl::StatusOr<std::shared_ptr<Incarnation>>;
  // A factory that runs, or will, for all who wait.
  struct Build {
    const HostedService* hosted;
    std::string state;
    Metadata metadata;
    std::string shared_key;  // empty: it is one client's own
    std::vector<Client> clients;
  };

  absl::StatusOr<const HostedService*> ClassOf(const google::protobuf::Any& state) const;
  void MakeShared(std::shared_ptr<Build> build) ABSL_LOCKS_EXCLUDED(mutex_);
  void Submit(std::shared_ptr<Build> build) ABSL_LOCKS_EXCLUDED(mutex_);
  bool Wanted(const Build& build) ABSL_LOCKS_EXCLUDED(mutex_);
  void Abandon(const std::shared_ptr<Build>& build) ABSL_LOCKS_EXCLUDED(mutex_);
  Made Run(Build& build);
  void Finish(const std::shared_ptr<Build>& build, const Made& made) ABSL_LOCKS_EXCLUDED(mutex_);
  // If nobody waits for it any more; who comes later makes another.
  bool RetireIfDone(const Build& build) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Environment env_;

  Mutex mutex_;
  // Of shared states; a build's clients are guarded as long as it is in here.
  absl::flat_hash_map<std::string, std::shared_ptr<Build>> builds_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace memod
