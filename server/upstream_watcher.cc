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
  for (size_t i = 0; i < upstream.channels().size(); ++i) {
    Look(connections_.emplace_back(Connection{&upstream, i}));
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
  // It was up, and has been something else since. When it is up by now, then anew, and maybe to
  // another server.
  Set(connection, false);
  // Asked to connect, since a connection that is lost is not sought again before the next call.
  grpc::Channel& channel = *connection.upstream->channels()[connection.channel];
  const grpc_connectivity_state state = channel.GetState(/*try_to_connect=*/true);
  channel.NotifyOnStateChange(state, gpr_inf_future(GPR_CLOCK_REALTIME), &changes_, &connection);
  Set(connection, state == GRPC_CHANNEL_READY);
}

void UpstreamWatcher::Set(Connection& connection, bool up) {
  if (up == connection.up) return;
  connection.up = up;
  connection.upstream->SetUp(connection.channel, up);
  for (const Listener& listener : listeners_) listener(*connection.upstream);
}

}  // namespace memod
