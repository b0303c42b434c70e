// A TOML file as plain data, in the order of the file. Internal to config.cc.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "memod/server/config_keys.h"

namespace memod {

struct TomlEntry {
  std::string name;  // any bytes, as is TomlSection's
  ConfigValue value;
  int line;
};

struct TomlSection {
  enum class Form {
    kTable,      // [name]
    kElement,    // one of [[name]]
    kNoSection,  // name = value
  };
  std::string name;
  int line;
  Form form;
  std::string shown;  // for messages, as ConfigValue's
  std::vector<TomlEntry> entries;
};

// INVALID_ARGUMENT: it cannot be read, or is not TOML; the message says where and why.
absl::StatusOr<std::vector<TomlSection>> ReadToml(const std::string& path);

// In double quotes, on one line.
std::string Shown(const std::string& text);

}  // namespace memod
