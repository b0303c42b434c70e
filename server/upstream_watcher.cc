#include "memod/server/upstream_watcher.h"

#include <grpcpp/channel.h>

#include <utility>

namespace memod {

UpstreamWatcher::~UpstreamWatcher() {
  changes_.Shutdown();
  if (thread_.joinable()) thread_.join();
}

void UpstreamWatcher::Watch(Upstream& upstream) {
  MutexLock lock(mutex_);
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  for (const auto& channel : upstream.channels()) {
    Look(connections_.emplace_back(Connection{&upstream, channel.get()}));
  }
}

void UpstreamWatcher::Listen(Listener listener) {
  MutexLock lock(mutex_);
  const Upstream* told = nullptr;
  for (const Connection& connection : connections_) {
    if (connection.upstream == told) continue;
    listener(*connection.upstream);
    told = connection.upstream;
  }
  listeners_.push_back(std::move(listener));
}

void UpstreamWatcher::Stop() {
  MutexLock lock(mutex_);
  stopped_ = true;
  listeners_.clear();
}

void UpstreamWatcher::Run() {
  void* tag = nullptr;
  bool ok = false;
  while (changes_.Next(&tag, &ok)) {
    MutexLock lock(mutex_);
    if (stopped_) continue;  // the upstream may be gone
    Look(*static_cast<Connection*>(tag));
  }
}

void UpstreamWatcher::Look(Connection& connection) {
  // Asked to connect, since a connection that is lost is not sought again before the next call.
  const grpc_connectivity_state state = connection.channel->GetState(/*try_to_connect=*/true);
  connection.channel->NotifyOnStateChange(state, gpr_inf_future(GPR_CLOCK_REALTIME), &changes_,
                                          &connection);
  if (!connection.upstream->UpdateState()) return;
  for (const Listener& listener : listeners_) listener(*connection.upstream);
}

}  // namespace memod
