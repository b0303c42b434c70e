// What keys of the configuration take: for each kind of value what is allowed, and how it is read
// from what a source gives. How the texts are written is in config_values.h. Internal to config.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "memod/cache/time.h"

namespace memod {

// A value as a source gives it.
struct ConfigValue {
  // In TOML 64 and "64" differ. In the environment and in flags, where all is text, they are the
  // same, and `untyped`. The vector is an array. monostate: a type that no key takes.
  std::variant<std::monostate, bool, int64_t, std::string, std::vector<ConfigValue>> value;
  bool untyped = false;
  // For messages, as in: "1 gib", 17, an array. No control characters.
  std::string shown;

  // Null: it is none.
  const std::string* text() const { return std::get_if<std::string>(&value); }
  std::optional<int64_t> integer() const;
};

// `read` gives nullopt for what is not allowed.
template <class V>
struct Kind {
  std::string allowed;  // goes after "want "
  std::function<std::optional<V>(const ConfigValue&)> read;
  // Of what is not allowed: what is wrong in particular, as in: got "X-A"; want lower case, "x-a".
  // May be null; empty: nothing in particular.
  std::function<std::string(const ConfigValue&)> fault = nullptr;

  // Of what is not allowed, as in: got "1 gib"; want a size.
  std::string Refusal(const ConfigValue& value) const {
    const std::string wrong = fault ? fault(value) : "";
    return wrong.empty() ? absl::StrCat("got ", value.shown, "; want ", allowed) : wrong;
  }
};

namespace kind {

Kind<bool> Boolean();
Kind<std::string> Text(std::string allowed, bool (*is_allowed)(std::string_view));
Kind<int64_t> Size(std::string allowed, int64_t min, int64_t max);
Kind<Duration> Between(std::string allowed, Duration min, Duration max);
// A negative number of entries is none.
Kind<int64_t> Entries();
// Of texts, each once and with no `fault` (config_values.h). `each` is what one is called. The
// environment and flags write a list as "a,b".
Kind<std::vector<std::string>> ListOf(std::string each, std::string (*fault)(std::string_view),
                                      const std::string& example);

template <class V>
Kind<V> Integer(V min, V max) {
  return {absl::StrCat("an integer from ", min, " to ", max),
          [=](const ConfigValue& value) -> std::optional<V> {
            const std::optional<int64_t> integer = value.integer();
            if (!integer || *integer < min || *integer > max) return std::nullopt;
            return static_cast<V>(*integer);
          }};
}

template <class V>
Kind<V> OneOf(std::vector<std::pair<std::string, V>> choices) {
  std::vector<std::string> names;
  for (const auto& [name, choice] : choices) names.push_back(name);
  return {"one of " + absl::StrJoin(names, ", "),
          [=](const ConfigValue& value) -> std::optional<V> {
            for (const auto& [name, choice] : choices) {
              if (value.text() && *value.text() == name) return choice;
            }
            return std::nullopt;
          }};
}

// Or the word `nothing`, which reads as nullopt.
template <class V>
Kind<std::optional<V>> Or(std::string nothing, Kind<V> kind) {
  return {absl::StrCat(kind.allowed, ", or \"", nothing, "\""),
          [=](const ConfigValue& value) -> std::optional<std::optional<V>> {
            if (value.text() && *value.text() == nothing) {
              return std::make_optional(std::optional<V>());
            }
            const std::optional<V> read = kind.read(value);
            return read ? std::make_optional(read) : std::nullopt;
          }};
}

}  // namespace kind
}  // namespace memod
