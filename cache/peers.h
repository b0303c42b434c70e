// Those who opened the sessions that are open, and how many each did.
//
// Not thread-safe. A peer is named as gRPC says it: "ipv4:10.0.0.1:5000".
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"

namespace memod {

class Peers {
 public:
  // A peer without the port: "ipv4:10.0.0.1". Whoever comes over a unix socket is at one address.
  static std::string AddressOf(const std::string& peer);

  // One session more of the peer with this name. Returns that, of which there is one for all of them.
  std::shared_ptr<const std::string> Add(std::string name);
  // One session less, of one that was added.
  void Remove(const std::string& name);

  // Sessions of all peers at the address of this one.
  int64_t CountAtAddress(const std::string& peer) const;

 private:
  struct Peer {
    std::shared_ptr<const std::string> name;
    int64_t sessions = 0;
  };
  absl::flat_hash_map<std::string, Peer> peers_;
  std::map<std::string, int64_t, std::less<>> by_address_;
};

}  // namespace memod
