#include "memod/server/config_kinds.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_split.h"
#include "memod/server/config_values.h"

namespace memod {

std::optional<int64_t> ConfigValue::integer() const {
  if (const int64_t* integer = std::get_if<int64_t>(&value)) return *integer;
  return untyped ? ParseInteger(*text()) : std::nullopt;
}

namespace kind {
namespace {

template <class V>
std::optional<V> Within(std::optional<V> value, V min, V max) {
  return value && *value >= min && *value <= max ? value : std::nullopt;
}

// A list as the environment and flags write it: "a,b". Empty: no elements.
std::vector<ConfigValue> Split(const std::string& text) {
  std::vector<ConfigValue> elements;
  if (text.empty()) return elements;
  for (const absl::string_view each : absl::StrSplit(text, ',')) {
    elements.push_back({std::string(each), true, Shown(std::string(each))});
  }
  return elements;
}

std::optional<std::vector<ConfigValue>> Elements(const ConfigValue& value) {
  if (value.untyped) return Split(*value.text());
  const auto* elements = std::get_if<std::vector<ConfigValue>>(&value.value);
  return elements ? std::make_optional(*elements) : std::nullopt;
}

}  // namespace

Kind<bool> Boolean() {
  return {"true or false", [](const ConfigValue& value) -> std::optional<bool> {
            if (const bool* boolean = std::get_if<bool>(&value.value)) return *boolean;
            const std::string* text = value.text();
            if (!value.untyped || (*text != "true" && *text != "false")) return std::nullopt;
            return *text == "true";
          }};
}

Kind<std::string> Text(std::string allowed, bool (*is_allowed)(std::string_view)) {
  return {std::move(allowed), [=](const ConfigValue& value) -> std::optional<std::string> {
            const std::string* text = value.text();
            if (!text || !is_allowed(*text)) return std::nullopt;
            return *text;
          }};
}

Kind<int64_t> Size(std::string allowed, int64_t min, int64_t max) {
  return {std::move(allowed), [=](const ConfigValue& value) {
            const std::string* text = value.text();
            return Within(text ? ParseSize(*text) : value.integer(), min, max);
          }};
}

Kind<Duration> Between(std::string allowed, Duration min, Duration max) {
  return {std::move(allowed), [=](const ConfigValue& value) {
            const std::string* text = value.text();
            return Within(text ? ParseDuration(*text) : std::nullopt, min, max);
          }};
}

Kind<int64_t> Entries() {
  return {"an integer", [](const ConfigValue& value) {
            std::optional<int64_t> entries = value.integer();
            if (entries) entries = std::max<int64_t>(*entries, 0);
            return entries;
          }};
}

Kind<std::vector<std::string>> ListOf(std::string each, std::string (*fault)(std::string_view),
                                      const std::string& example) {
  const auto refusal = [=](const ConfigValue& value) -> std::string {
    std::set<std::string> seen;
    for (const ConfigValue& element : Elements(value).value_or(std::vector<ConfigValue>())) {
      const std::string* text = element.text();
      const std::string wrong = text ? fault(*text) : "want a " + each;
      if (!wrong.empty()) return absl::StrCat("got ", element.shown, "; ", wrong);
      if (!seen.insert(*text).second) {
        return absl::StrCat("got ", element.shown, " twice; want each once");
      }
    }
    return "";
  };
  const auto read = [=](const ConfigValue& value) -> std::optional<std::vector<std::string>> {
    const auto elements = Elements(value);
    if (!elements || !refusal(value).empty()) return std::nullopt;
    std::vector<std::string> texts;
    for (const ConfigValue& element : *elements) texts.push_back(*element.text());
    return texts;
  };
  return {absl::StrCat("an array of ", each, "s, such as ", example), read, refusal};
}

}  // namespace kind
}  // namespace memod
