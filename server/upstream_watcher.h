// Keeps the connections to upstreams up, and notices when they come and go.
//
// Thread-safe; one thread, which sleeps until gRPC tells of a change.
#pragma once

#include <grpcpp/completion_queue.h>

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "memod/cache/mutex.h"
#include "memod/server/upstream.h"

namespace memod {

class UpstreamWatcher {
 public:
  // Told of which upstream a connection came up or was lost: never of one without the other, however
  // short the time between them. Called under the watcher's mutex: it neither blocks nor calls the
  // watcher.
  using Listener = std::function<void(Upstream& upstream)>;

  // Waits until gRPC has let go of what is watched. So: first Stop, then the end of the upstreams,
  // then this. (gRPC 1.51 takes no watch back; it ends with its channel.)
  ~UpstreamWatcher();

  void Watch(Upstream& upstream) ABSL_LOCKS_EXCLUDED(mutex_);

  // Calls `listener` for every upstream at once, and then with each such change until Stop.
  void Listen(Listener listener) ABSL_LOCKS_EXCLUDED(mutex_);

  // From now on upstreams are not looked at. When this returns, nobody is being told of them.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Connection {
    Upstream* upstream;
    size_t channel;
    bool up = false;
  };

  void Run();
  // Looks at it, and will again when its state was another, if only for a moment.
  void Look(Connection& connection) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Set(Connection& connection, bool up) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  grpc::CompletionQueue changes_;

  Mutex mutex_;
  std::deque<Connection> connections_ ABSL_GUARDED_BY(mutex_);
  std::vector<Listener> listeners_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;  // from the first Watch on
};

}  // namespace memod
