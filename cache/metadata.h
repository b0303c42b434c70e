// Metadata as the caches know it, and how a list of strings is kept as bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace memod {

// Names (in lower case) and values, in the order in which they came; a name may come again.
using Metadata = std::vector<std::pair<std::string, std::string>>;

// Appends `field` so that whatever follows, different lists of fields are different bytes: its
// length in 8 bytes, then itself.
inline void AppendField(std::string_view field, std::string& to) {
  const uint64_t size = field.size();
  to.append(reinterpret_cast<const char*>(&size), sizeof(size));
  to.append(field);
}

// The next field of what AppendField made; `from` goes on behind it.
inline std::string_view TakeField(std::string_view& from) {
  uint64_t size = 0;
  from.copy(reinterpret_cast<char*>(&size), sizeof(size));
  const std::string_view field = from.substr(sizeof(size), size);
  from.remove_prefix(sizeof(size) + size);
  return field;
}

}  // namespace memod
