#include "memod/server/upstreams.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace memod {

Upstreams::Upstreams(const std::vector<UpstreamConfig>& configs, std::vector<std::string> own) {
  for (std::string& service : own) by_service_.emplace(std::move(service), nullptr);
  for (const UpstreamConfig& config : configs) {
    Upstream* upstream = upstreams_.emplace_back(std::make_unique<Upstream>(config)).get();
    for (const std::string& service : config.services) by_service_.emplace(service, upstream);
    if (config.services.empty()) rest_ = upstream;
  }
  for (const auto& upstream : upstreams_) {
    types_.push_back(std::make_unique<UpstreamTypes>(*upstream));
    watcher_.Watch(*upstream);
  }
  watcher_.Listen([this](Upstream& upstream) {
    for (size_t i = 0; i < upstreams_.size(); ++i) {
      if (upstreams_[i].get() == &upstream && upstream.state().connected) types_[i]->Ask();
    }
  });
}

Upstreams::~Upstreams() { Stop(); }

std::vector<ReflectionSource> Upstreams::ReflectionSources() const {
  std::vector<ReflectionSource> sources;
  for (size_t i = 0; i < upstreams_.size(); ++i) {
    ReflectionSource& source = sources.emplace_back();
    source.services = upstreams_[i]->services();
    const UpstreamTypes::Files files = types_[i]->files();
    if (files == nullptr) continue;
    source.files = {files, &files->database()};
    if (!source.services.empty()) continue;
    for (const std::string& service : files->services()) {
      if (Find(absl::StrCat("/", service, "/")) != upstreams_[i].get()) continue;
      source.services.push_back(service);
    }
  }
  return sources;
}

Upstream* Upstreams::Find(std::string_view method) const {
  const size_t slash = method.rfind('/');
  if (!method.starts_with('/') || slash == 0) return nullptr;
  const auto it = by_service_.find(std::string(method.substr(1, slash - 1)));
  return it == by_service_.end() ? rest_ : it->second;
}

bool Upstreams::IsUnary(const Upstream& upstream, const std::string& method) const {
  for (size_t i = 0; i < upstreams_.size(); ++i) {
    if (upstreams_[i].get() == &upstream) return types_[i]->IsUnary(method);
  }
  return false;
}

}  // namespace memod
