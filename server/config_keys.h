// The one table of the configuration's keys: each one's name, default, what is allowed, what it
// means and where it goes. Internal to config.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "memod/server/config.h"

namespace memod {

// A value as a source gives it.
struct ConfigValue {
  // In TOML 64 and "64" differ. In the environment and in flags, where all is text, they are the
  // same, and `untyped`. monostate: a type that no key takes.
  std::variant<std::monostate, bool, int64_t, std::string> value;
  bool untyped = false;
  // For messages, as in: "1 gib", 17, an array. No control characters.
  std::string shown;
};

// A key of T, which is Config or MethodConfig.
template <class T>
struct Key {
  std::string name;           // "server.listen"; of a method: "ttl"
  std::string allowed;        // goes after "want "
  std::string default_value;  // as it would be written; of a method, where it is the code's: empty
  std::string meaning;
  // False, and nothing changes, if the value is not allowed.
  std::function<bool(T&, const ConfigValue&)> set;
};

const std::vector<Key<Config>>& ServerKeys();
const std::vector<Key<MethodConfig>>& MethodKeys();

template <class T>
const Key<T>* FindKey(const std::vector<Key<T>>& keys, std::string_view name) {
  for (const Key<T>& key : keys) {
    if (key.name == name) return &key;
  }
  return nullptr;
}

// "; did you mean listen?" or, if nothing is near, "; want one of listen, http". `names` is not
// empty; each is shown behind `prefix`, as in "server." or "--".
std::string Suggestion(std::string_view unknown, const std::vector<std::string>& names,
                       std::string_view prefix);

}  // namespace memod
