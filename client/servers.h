// The servers that a Client may use, any of which does. Internal to the library.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "memod/client/connections.h"

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

 private:
  std::vector<std::unique_ptr<const Connections>> all_;
  mutable std::atomic<size_t> next_;
};

}  // namespace memod
