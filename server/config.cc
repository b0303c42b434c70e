#include "memod/server/config.h"

#include <unistd.h>

#include <set>
#include <string_view>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "memod/server/config_keys.h"
#include "memod/server/config_listeners.h"
#include "memod/server/config_sections.h"
#include "memod/server/config_toml.h"
#include "memod/server/config_values.h"
#include "memod/server/suggestion.h"

namespace memod {
namespace {

using std::string_view;

constexpr string_view kPrefix = "MEMOD_";

std::string SectionOf(string_view key) { return std::string(key.substr(0, key.find('.'))); }

std::string EnvironmentName(const std::string& key) {
  return std::string(kPrefix) + absl::AsciiStrToUpper(absl::StrReplaceAll(key, {{".", "_"}}));
}

// In the table's order; "server" is one, [[method]] is not.
std::vector<std::string> SectionNames() {
  std::vector<std::string> names;
  for (const Key<Config>& key : ServerKeys()) {
    std::string name = SectionOf(key.name);
    if (names.empty() || names.back() != name) names.push_back(std::move(name));
  }
  return names;
}

// "listen", "http" of "admin". Empty: there is no such section.
std::vector<std::string> KeyNames(const std::string& section) {
  std::vector<std::string> names;
  for (const Key<Config>& key : ServerKeys()) {
    if (SectionOf(key.name) == section) names.push_back(key.name.substr(section.size() + 1));
  }
  return names;
}

// What Kubernetes sets for services called memod-admin, memod-cache and the like:
// MEMOD_ADMIN_SERVICE_HOST, MEMOD_ADMIN_PORT=tcp://..., MEMOD_ADMIN_PORT_7071_TCP_ADDR.
bool IsFromKubernetes(string_view key, string_view value) {
  return key.starts_with("SERVICE_") || key.starts_with("PORT_") ||
         (key == "PORT" && value.find("://") != string_view::npos);
}

// One source over the other, in the order of the calls, and all that is wrong with any of them.
class Loader {
 public:
  void LoadToml(const std::string& path);
  void LoadEnvironment(const std::map<std::string, std::string>& environment);
  void LoadFlags(const std::vector<std::pair<std::string, std::string>>& flags);
  void CheckListeners();
  absl::StatusOr<Config> Finish();

 private:
  void LoadSection(const std::string& path, const TomlSection& section);
  void LoadVariable(const std::string& name, const std::string& value);

  // `label` says what was set where: "memod.toml:12: cache.max_bytes", "--cache.max_bytes".
  void Set(const Key<Config>& key, const ConfigValue& value, const std::string& label);
  template <class... Parts>
  void Error(const Parts&... parts) {
    errors_.push_back(absl::StrCat(parts...));
  }

  Config config_;
  std::vector<std::string> errors_;
  std::map<std::string, std::string> labels_;  // of each key, where its value is from
  std::set<std::string> refused_;              // keys that some source gave a bad value
};

std::string At(const std::string& path, int line) { return absl::StrCat(path, ":", line, ": "); }

ConfigValue Untyped(const std::string& text) { return {text, true, Shown(text)}; }

void Loader::Set(const Key<Config>& key, const ConfigValue& value, const std::string& label) {
  const std::string refusal = key.set(config_, value);
  if (refusal.empty()) {
    labels_[key.name] = label;
  } else {
    Error(label, ": ", refusal);
    refused_.insert(key.name);
  }
}

void Loader::LoadToml(const std::string& path) {
  const absl::StatusOr<std::vector<TomlSection>> sections = ReadToml(path);
  if (!sections.ok()) return Error(sections.status().message());
  std::vector<std::string> known = SectionNames();
  known.push_back("method");
  known.push_back("upstream");
  RepeatedSections repeated(path, config_, errors_);
  for (const TomlSection& section : *sections) {
    const bool is_one_of_many = section.name == "method" || section.name == "upstream";
    if (!absl::c_linear_search(known, section.name)) {
      Error(At(path, section.line), "unknown key ", absl::Utf8SafeCEscape(section.name),
            Suggestion(section.name, known, ""));
    } else if (section.form !=
               (is_one_of_many ? TomlSection::Form::kElement : TomlSection::Form::kTable)) {
      Error(At(path, section.line), section.name, ": got ", section.shown, "; want ",
            is_one_of_many ? "sections [[" + section.name + "]]"
                           : "a section [" + section.name + "]");
    } else if (section.name == "upstream") {
      repeated.AddUpstream(section);
    } else if (section.name == "method") {
      repeated.AddMethod(section);
    } else {
      LoadSection(path, section);
    }
  }
}

void Loader::LoadSection(const std::string& path, const TomlSection& section) {
  for (const TomlEntry& entry : section.entries) {
    const std::string name = section.name + "." + entry.name;
    if (const Key<Config>* key = FindKey(ServerKeys(), name)) {
      Set(*key, entry.value, At(path, entry.line) + name);
    } else {
      Error(At(path, entry.line), "unknown key ", absl::Utf8SafeCEscape(name),
            Suggestion(entry.name, KeyNames(section.name), section.name + "."));
    }
  }
}

void Loader::LoadEnvironment(const std::map<std::string, std::string>& environment) {
  for (const auto& [name, value] : environment) {
    if (name.starts_with(kPrefix)) LoadVariable(name, value);
  }
}

void Loader::LoadVariable(const std::string& name, const std::string& value) {
  for (const Key<Config>& key : ServerKeys()) {
    if (EnvironmentName(key.name) == name) return Set(key, Untyped(value), name);
  }
  for (const std::string& section : SectionNames()) {
    const std::string prefix = EnvironmentName(section) + "_";
    if (!name.starts_with(prefix)) continue;
    const std::string key = name.substr(prefix.size());
    if (IsFromKubernetes(key, value)) break;
    std::vector<std::string> names = KeyNames(section);
    for (std::string& each : names) absl::AsciiStrToUpper(&each);
    return Error(absl::Utf8SafeCEscape(name), ": unknown key", Suggestion(key, names, prefix));
  }
  config_.ignored_environment.push_back(name);
}

void Loader::LoadFlags(const std::vector<std::pair<std::string, std::string>>& flags) {
  for (const auto& [name, value] : flags) {
    if (const Key<Config>* key = FindKey(ServerKeys(), name)) {
      Set(*key, Untyped(value), "--" + name);
    } else {
      Error("--", absl::Utf8SafeCEscape(name), ": unknown key",
            Suggestion(name, NamesOf(ServerKeys()), "--"));
    }
  }
}

void Loader::CheckListeners() {
  for (std::string& fault : ListenerFaults(config_, labels_, refused_)) {
    errors_.push_back(std::move(fault));
  }
}

absl::StatusOr<Config> Loader::Finish() {
  if (!errors_.empty()) return absl::InvalidArgumentError(absl::StrJoin(errors_, "\n"));
  return std::move(config_);
}

}  // namespace

Policy MethodConfig::Apply(Policy base) const {
  base.max_entries = max_entries.value_or(base.max_entries);
  base.max_entries_total = max_entries_total.value_or(base.max_entries_total);
  base.max_entry_bytes = max_entry_bytes.value_or(base.max_entry_bytes);
  base.ttl = ttl.value_or(base.ttl);
  base.stale_if_error = stale_if_error.value_or(base.stale_if_error);
  base.compute_timeout = compute_timeout.value_or(base.compute_timeout);
  base.coalesce = coalesce.value_or(base.coalesce);
  base.cache = cache.value_or(base.cache);
  base.key_metadata = key_metadata.value_or(base.key_metadata);
  base.key_ignore = key_ignore.value_or(base.key_ignore);
  if (!base.key_ignore.empty()) base.key_mode = KeyMode::kMessage;
  base.key_mode = key_mode.value_or(base.key_mode);
  base.forward = forward.value_or(base.forward);
  base.answer_metadata = answer_metadata.value_or(base.answer_metadata);
  base.negative = negative.value_or(base.negative);
  return base;
}

absl::StatusOr<Config> LoadConfig(const ConfigSources& sources) {
  Loader loader;
  if (sources.toml_file) loader.LoadToml(*sources.toml_file);
  loader.LoadEnvironment(sources.environment);
  loader.LoadFlags(sources.flags);
  loader.CheckListeners();
  return loader.Finish();
}

std::map<std::string, std::string> MemodEnvironment() {
  std::map<std::string, std::string> environment;
  for (char** variable = environ; *variable; ++variable) {
    const string_view text(*variable);
    const size_t equals = text.find('=');
    if (!text.starts_with(kPrefix) || equals == string_view::npos) continue;
    environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

std::vector<ConfigKey> ConfigKeys() {
  std::vector<ConfigKey> keys;
  for (const Key<Config>& key : ServerKeys()) {
    keys.push_back({key.name, EnvironmentName(key.name),
                    absl::StrCat(key.meaning, ": ", key.allowed, " (default ",
                                 key.default_value.empty() ? "\"\"" : key.default_value, ")")});
  }
  return keys;
}

}  // namespace memod
