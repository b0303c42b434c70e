// The servers that a Client may use, any of which does. Internal to the library.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "memod/client/connections.h"
#include "memod/client/in_callback.h"

namespace memod {

// Thread-safe. Never empty.
class Servers {
 public:
  Servers(const std::vector<std::string>& targets, const ClientOptions& options)
      : next_(std::random_device()()) {
    for (const std::string& target : targets)
      all_.push_back(std::make_unique<const Connections>(target, options));
  }

  const ClientOptions& options() const { return all_.front()->options; }
  size_t size() const { return all_.size(); }
  // The one at `place`, going round.
  const Connections& at(size_t place) const { return *all_[place % all_.size()]; }
  // Where the next session begins: each at another one.
  size_t Next() const { return next_++ % all_.size(); }

  // Until every server has answered what it was told to close, or time is up.
  void AwaitClosings(absl::Time deadline) const {
    for (const auto& one : all_) one->closings->Await(deadline);
  }

 private:
  std::vector<std::unique_ptr<const Connections>> all_;
  mutable std::atomic<size_t> next_;
};

// What the copies of a Client and its sessions share, but nothing that gRPC keeps: so the last of its
// owners goes where the library's user lets go of it. The process may end then, and closings with it.
class SharedServers {
 public:
  explicit SharedServers(std::shared_ptr<const Servers> all) : all(std::move(all)) {}
  ~SharedServers() {
    if (!InCallback::Here()) all->AwaitClosings(absl::Now() + absl::Seconds(1));
  }
  SharedServers(const SharedServers&) = delete;
  SharedServers& operator=(const SharedServers&) = delete;

  const std::shared_ptr<const Servers> all;
};

}  // namespace memod
