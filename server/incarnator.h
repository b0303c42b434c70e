// Makes what a session runs on: from a state to an instance of its hosted class.
//
// Factories run on the compute pool. Of a class whose equal states are shared, sessions that are
// opened at once wait for one factory. Thread-safe.
#pragma once

#include <google/protobuf/any.pb.h>

#include <atomic>
#include <cstdint>
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
#include "memod/cache/session_table.h"
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

  // Who wants to be, or to become, something new.
  struct Client {
    // Whether it is still there. Any thread; short.
    std::function<bool()> wanted;
    // Told once; on the compute pool, or at once if there is nothing to make.
    //   INVALID_ARGUMENT: no hosted class takes such a state, or it does not decode.
    //   RESOURCE_EXHAUSTED: the state is too large, or the pool's queue is full.
    //   CANCELLED: it was not wanted any more when its turn came.
    //   any other: what the factory returned.
    absl::AnyInvocable<void(absl::StatusOr<Origin>)> done;
  };
  // From `state` (nullopt: one without an instance) and the metadata that was captured when the
  // session was opened.
  void Make(std::optional<google::protobuf::Any> state, Metadata metadata, Client client)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Clients that have not been told yet.
  int64_t clients() const { return clients_.load(std::memory_order_relaxed); }

 private:
  // A factory that runs, or will, for all who wait.
  struct Build {
    const HostedService* hosted;
    Metadata metadata;
    std::string state;                            // empty where it is in the key
    std::shared_ptr<const SharedKey> shared_key;  // null: it is one client's own
    std::vector<Client> clients;
  };
  using BuildPtr = std::shared_ptr<Build>;

  absl::StatusOr<const HostedService*> ClassOf(const google::protobuf::Any& state) const;
  void Tell(Client& client, absl::StatusOr<Origin> made);
  // Of open sessions, of a build that is under way, or else anew.
  void Start(const BuildPtr& build) ABSL_LOCKS_EXCLUDED(mutex_);
  bool Wanted(const Build& build) ABSL_LOCKS_EXCLUDED(mutex_);
  void Run(const BuildPtr& build) ABSL_LOCKS_EXCLUDED(mutex_);
  void Succeed(const BuildPtr& build, const Origin& origin) ABSL_LOCKS_EXCLUDED(mutex_);
  void Fail(const BuildPtr& build, const absl::Status& error) ABSL_LOCKS_EXCLUDED(mutex_);
  // The clients so far; at the last, nobody can come any more.
  std::vector<Client> TakeClients(Build& build, bool last) ABSL_LOCKS_EXCLUDED(mutex_);

  const Environment env_;
  std::atomic<int64_t> clients_{0};

  Mutex mutex_;
  // Of shared states. The clients of each are guarded too.
  absl::flat_hash_map<std::shared_ptr<const SharedKey>, BuildPtr, SharedKey::Hash, SharedKey::Eq>
      builds_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace memod
