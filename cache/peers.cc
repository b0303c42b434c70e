#include "memod/cache/peers.h"

#include <utility>

namespace memod {
namespace {

std::string_view Address(std::string_view peer) {
  const std::string_view scheme = peer.substr(0, peer.find(':'));
  return scheme == "ipv4" || scheme == "ipv6" ? peer.substr(0, peer.rfind(':')) : scheme;
}

}  // namespace

std::string Peers::AddressOf(const std::string& peer) { return std::string(Address(peer)); }

std::shared_ptr<const std::string> Peers::Add(std::string name) {
  const auto address = by_address_.find(Address(name));
  if (address != by_address_.end()) {
    ++address->second;
  } else {
    by_address_.emplace(Address(name), 1);
  }
  Peer& peer = peers_[name];
  if (peer.sessions++ == 0) peer.name = std::make_shared<const std::string>(std::move(name));
  return peer.name;
}

void Peers::Remove(const std::string& name) {
  const auto address = by_address_.find(Address(name));
  if (--address->second == 0) by_address_.erase(address);
  const auto peer = peers_.find(name);
  if (--peer->second.sessions == 0) peers_.erase(peer);
}

int64_t Peers::CountAtAddress(const std::string& peer) const {
  const auto address = by_address_.find(Address(peer));
  return address == by_address_.end() ? 0 : address->second;
}

}  // namespace memod
