#include "memod/server/config_toml.h"

#include <toml++/toml.h>

#include <algorithm>
#include <iterator>
#include <sstream>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "memod/server/config_values.h"
#include "memod/server/read_file.h"

namespace memod {
namespace {

int LineOf(const toml::node& node) { return static_cast<int>(node.source().begin.line); }

std::string ShownNode(const toml::node& node) {
  if (node.is_table()) return "a table";
  if (node.is_array()) return "an array";
  if (const auto* text = node.as_string()) return Shown(text->get());
  std::ostringstream out;
  node.visit([&](const auto& leaf) {
    if constexpr (toml::is_value<decltype(leaf)>) out << leaf;
  });
  return out.str();
}

ConfigValue ToValue(const toml::node& node) {
  ConfigValue value;
  value.shown = ShownNode(node);
  if (const auto* boolean = node.as_boolean()) value.value = boolean->get();
  if (const auto* integer = node.as_integer()) value.value = integer->get();
  if (const auto* text = node.as_string()) value.value = text->get();
  if (const auto* array = node.as_array()) {
    std::vector<ConfigValue> elements;
    for (const toml::node& element : *array) elements.push_back(ToValue(element));
    value.value = std::move(elements);
  }
  return value;
}

std::vector<TomlSection> ToElements(const std::string& name, const toml::node& node);

// `a.b = 1`, `a = {b = 1}` and the table [a] are the same in TOML, and "a.b" = 1 is not.
std::vector<TomlEntry> ToEntries(const toml::table& table) {
  std::vector<TomlEntry> entries;
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    TomlEntry entry{name.find('.') == name.npos ? name : Shown(name), ToValue(node),
                    static_cast<int>(key.source().begin.line), std::nullopt,
                    ToElements(name, node)};
    if (const toml::table* inner = node.as_table()) entry.table = ToEntries(*inner);
    entries.push_back(std::move(entry));
  }
  std::stable_sort(entries.begin(), entries.end(),
                   [](const TomlEntry& a, const TomlEntry& b) { return a.line < b.line; });
  return entries;
}

TomlSection ToSection(std::string name, TomlSection::Form form, const toml::table& table,
                      std::string shown) {
  return {std::move(name), LineOf(table), form, std::move(shown), ToEntries(table)};
}

// Empty: it is not an array of tables.
std::vector<TomlSection> ToElements(const std::string& name, const toml::node& node) {
  std::vector<TomlSection> elements;
  const toml::array* array = node.as_array();
  if (array == nullptr || !array->is_homogeneous<toml::table>()) return elements;
  for (const toml::node& element : *array) {
    elements.push_back(
        ToSection(name, TomlSection::Form::kElement, *element.as_table(), ShownNode(node)));
  }
  return elements;
}

std::vector<TomlSection> ToSections(const toml::table& document) {
  std::vector<TomlSection> sections;
  for (const auto& [key, node] : document) {
    const std::string name(key.str());
    std::vector<TomlSection> elements = ToElements(name, node);
    if (const toml::table* table = node.as_table()) {
      sections.push_back(ToSection(name, TomlSection::Form::kTable, *table, ShownNode(node)));
    } else if (!elements.empty()) {
      std::move(elements.begin(), elements.end(), std::back_inserter(sections));
    } else {
      sections.push_back({name, LineOf(node), TomlSection::Form::kNoSection, ShownNode(node), {}});
    }
  }
  std::stable_sort(sections.begin(), sections.end(),
                   [](const TomlSection& a, const TomlSection& b) { return a.line < b.line; });
  return sections;
}

}  // namespace

absl::StatusOr<std::vector<TomlSection>> ReadToml(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("failed to read configuration from ", path, ": ",
                                                   std::string(text.status().message())));
  }
  try {
    return ToSections(toml::parse(*text));
  } catch (const toml::parse_error& error) {
    const toml::source_position at = error.source().begin;
    return absl::InvalidArgumentError(absl::StrCat(
        path, ":", at.line, ": not TOML, at column ", at.column, ": ",
        absl::Utf8SafeCEscape({error.description().data(), error.description().size()})));
  }
}

}  // namespace memod
