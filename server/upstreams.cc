#include "memod/server/upstreams.h"

#include <utility>

namespace memod {

Upstreams::Upstreams(const std::vector<UpstreamConfig>& configs, std::vector<std::string> own) {
  for (std::string& service : own) by_service_.emplace(std::move(service), nullptr);
  for (const UpstreamConfig& config : configs) {
    Upstream* upstream = upstreams_.emplace_back(std::make_unique<Upstream>(config)).get();
    for (const std::string& service : config.services) by_service_.emplace(service, upstream);
    if (config.services.empty()) rest_ = upstream;
  }
  for (const auto& upstream : upstreams_) watcher_.Watch(*upstream);
}

Upstreams::~Upstreams() { watcher_.Stop(); }

Upstream* Upstreams::Find(std::string_view method) const {
  const size_t slash = method.rfind('/');
  if (!method.starts_with('/') || slash == 0) return nullptr;
  const auto it = by_service_.find(std::string(method.substr(1, slash - 1)));
  return it == by_service_.end() ? rest_ : it->second;
}

}  // namespace memod
