// A TOML file as plain data, in the order of the file. Internal to config.cc.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "memod/server/config_kinds.h"

namespace memod {

struct TomlSection;

struct TomlEntry {
  std::string name;  // any bytes, as is TomlSection's; quoted if it holds a dot
  ConfigValue value;
  int line;
  std::optional<std::vector<TomlEntry>> table;  // if the value is one, however it is written
  std::vector<TomlSection> elements;            // if the value is an array of tables
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

}  // namespace memod
