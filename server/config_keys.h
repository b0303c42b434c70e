// The one table of the configuration's keys: each one's name, default, what is allowed, what it
// means and where it goes. Internal to config.cc.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "memod/server/config.h"
#include "memod/server/config_kinds.h"

namespace memod {

// A key of T, which is Config, MethodConfig or UpstreamConfig.
template <class T>
struct Key {
  std::string name;           // "server.listen"; of a method: "ttl", "key.mode"
  std::string allowed;        // goes after "want "
  std::string default_value;  // as it would be written; of a method, where it is the code's: empty
  std::string meaning;
  // Empty if the value is allowed. Else nothing changes, and this is what to say of it, as in:
  // got "1 gib"; want a size.
  std::function<std::string(T&, const ConfigValue&)> set;
  // A name that somebody may think of, of which `set` only tells why it is none.
  bool refused = false;
};

const std::vector<Key<Config>>& ServerKeys();
const std::vector<Key<MethodConfig>>& MethodKeys();
const std::vector<Key<UpstreamConfig>>& UpstreamKeys();  // but for `method`

template <class T>
std::vector<std::string> NamesOf(const std::vector<Key<T>>& keys) {
  std::vector<std::string> names;
  for (const Key<T>& key : keys) names.push_back(key.name);
  return names;
}

template <class T>
const Key<T>* FindKey(const std::vector<Key<T>>& keys, std::string_view name) {
  for (const Key<T>& key : keys) {
    if (key.name == name) return &key;
  }
  return nullptr;
}

}  // namespace memod
