// The services behind memod, and which of them a call is for. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "memod/server/config.h"
#include "memod/server/reflection.h"
#include "memod/server/upstream.h"
#include "memod/server/upstream_types.h"
#include "memod/server/upstream_watcher.h"

namespace memod {

class Upstreams {
 public:
  // `own`: the services that memod itself serves, which no upstream is called for.
  Upstreams(const std::vector<UpstreamConfig>& configs, std::vector<std::string> own);
  ~Upstreams();

  // `method` as in "/pkg.Service/Method". Null: nobody serves it.
  Upstream* Find(std::string_view method) const;

  // See UpstreamTypes::IsUnary; of one of these.
  bool IsUnary(const Upstream& upstream, const std::string& method) const;

  // In the order of the configuration.
  const std::vector<std::unique_ptr<Upstream>>& all() const { return upstreams_; }
  UpstreamTypes& types(size_t index) const { return *types_[index]; }

  // What each is called for, and what is known of that.
  std::vector<ReflectionSource> ReflectionSources() const;

  // See UpstreamWatcher::Listen.
  void Listen(UpstreamWatcher::Listener listener) { watcher_.Listen(std::move(listener)); }
  // See UpstreamWatcher::Stop.
  void Stop() { watcher_.Stop(); }

 private:
  UpstreamWatcher watcher_;  // first, so that it goes last
  std::vector<std::unique_ptr<Upstream>> upstreams_;
  std::vector<std::unique_ptr<UpstreamTypes>> types_;       // of each
  absl::flat_hash_map<std::string, Upstream*> by_service_;  // null: memod's own
  Upstream* rest_ = nullptr;                                // for what nobody else serves
};

}  // namespace memod
