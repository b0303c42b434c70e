// What a configuration may not say of its listeners, and of TLS: plaintext beyond loopback, half of a
// key pair. Internal to config.cc.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "memod/server/config.h"

namespace memod {

// `labels`: of each key that was given, where, as in "memod.toml:12: server.listen". `refused`: keys
// that some source gave a bad value: what it would have said is not known, and nothing wrong.
std::vector<std::string> ListenerFaults(const Config& config,
                                        const std::map<std::string, std::string>& labels,
                                        const std::set<std::string>& refused);

std::vector<std::string> UpstreamTlsFaults(const UpstreamConfig& upstream);

}  // namespace memod
