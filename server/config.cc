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

// A key of a [[method]] or a table of such keys by its whole name, as in "key.mode" and "key".
using NamedEntry = std::pair<std::string, const TomlEntry*>;

std::vector<std::string> MethodKeysIn(string_view table) {
  std::vector<std::string> names;
  for (const Key<MethodConfig>& key : MethodKeys()) {
    if (!key.refused && key.name.starts_with(table)) names.push_back(key.name);
  }
  return names;
}

bool IsTableOfMethod(const std::string& name) { return !MethodKeysIn(name + ".").empty(); }

// Into those tables that hold keys, in the order of the file.
std::vector<NamedEntry> Flat(const std::vector<TomlEntry>& entries,
                             const std::string& prefix = "") {
  std::vector<NamedEntry> flat;
  for (const TomlEntry& entry : entries) {
    const std::string name = prefix + entry.name;
    flat.emplace_back(name, &entry);
    if (!entry.table || !IsTableOfMethod(name)) continue;
    for (NamedEntry& inner : Flat(*entry.table, name + ".")) flat.push_back(std::move(inner));
  }
  absl::c_stable_sort(flat, [](const NamedEntry& a, const NamedEntry& b) {
    return a.second->line < b.second->line;
  });
  return flat;
}

// Names to choose from instead of `unknown`: those of its table, if there is one, or all, where the
// many of `negative` are that one name.
std::vector<std::string> MethodKeysNear(const std::string& unknown) {
  const std::string table = unknown.substr(0, unknown.rfind('.') + 1);
  std::vector<std::string> names = MethodKeysIn(table);
  if (!table.empty() && !names.empty()) return names;
  names.clear();
  for (const std::string& name : MethodKeysIn("")) {
    if (!name.starts_with("negative.")) names.push_back(name);
  }
  names.push_back("negative");
  return names;
}

// Where the keys of a [[method]] are.
using Lines = std::map<std::string, int>;

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
  // Of [[method]] and [[upstream.method]]: `kind` is what its keys are called by.
  MethodConfig LoadMethod(const std::string& path, const TomlSection& section,
                          const std::string& kind);
  void LoadUpstream(const std::string& path, const TomlSection& section);
  void CheckUpstream(const UpstreamConfig& upstream);
  void CheckName(const MethodConfig& method, const std::string& kind);
  void LoadMethodKey(const std::string& path, const std::string& name, const TomlEntry& entry,
                     const std::string& kind, MethodConfig& method);
  void CheckContradictions(const std::string& path, const MethodConfig& method, const Lines& lines,
                           const std::string& kind);
  void LoadVariable(const std::string& name, const std::string& value);

  // `label` says what was set where: "memod.toml:12: cache.max_bytes", "--cache.max_bytes".
  void Set(const Key<Config>& key, const ConfigValue& value, const std::string& label);
  template <class T>
  bool Assign(const Key<T>& key, T& target, const ConfigValue& value, const std::string& label);
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

template <class T>
std::vector<std::string> Names(const std::vector<Key<T>>& keys) {
  std::vector<std::string> names;
  for (const Key<T>& key : keys) names.push_back(key.name);
  return names;
}

template <class T>
bool Loader::Assign(const Key<T>& key, T& target, const ConfigValue& value,
                    const std::string& label) {
  const std::string refusal = key.set(target, value);
  if (!refusal.empty()) Error(label, ": ", refusal);
  return refusal.empty();
}

void Loader::Set(const Key<Config>& key, const ConfigValue& value, const std::string& label) {
  if (Assign(key, config_, value, label)) {
    labels_[key.name] = label;
  } else {
    refused_.insert(key.name);
  }
}

void Loader::LoadToml(const std::string& path) {
  const absl::StatusOr<std::vector<TomlSection>> sections = ReadToml(path);
  if (!sections.ok()) return Error(sections.status().message());
  std::vector<std::string> known = SectionNames();
  known.push_back("method");
  known.push_back("upstream");
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
      LoadUpstream(path, section);
    } else if (section.name == "method") {
      config_.methods.push_back(LoadMethod(path, section, "method"));
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

void Loader::LoadUpstream(const std::string& path, const TomlSection& section) {
  UpstreamConfig upstream;
  upstream.where = absl::StrCat(path, ":", section.line);
  config_.upstreams.push_back(upstream);  // so that the names of its methods are seen to be taken
  for (const TomlEntry& entry : section.entries) {
    const std::string name = "upstream." + entry.name;
    if (const Key<UpstreamConfig>* key = FindKey(UpstreamKeys(), entry.name)) {
      Assign(*key, upstream, entry.value, At(path, entry.line) + name);
    } else if (entry.name != "method") {
      std::vector<std::string> names = Names(UpstreamKeys());
      names.push_back("method");
      Error(At(path, entry.line), "unknown key ", absl::Utf8SafeCEscape(name),
            Suggestion(entry.name, names, "upstream."));
    } else if (entry.elements.empty()) {
      Error(At(path, entry.line), name, ": got ", entry.value.shown,
            "; want sections [[upstream.method]]");
    }
    if (entry.name != "method") continue;
    for (const TomlSection& method : entry.elements) {
      upstream.methods.push_back(LoadMethod(path, method, "upstream.method"));
      config_.upstreams.back().methods = upstream.methods;
    }
  }
  for (const char* key : {"name", "target"}) {
    if (!(key == std::string("name") ? upstream.name : upstream.target).empty()) continue;
    Error(upstream.where, ": upstream.", key, ": missing; want ",
          FindKey(UpstreamKeys(), key)->allowed);
  }
  config_.upstreams.pop_back();
  CheckUpstream(upstream);
  for (std::string& fault : UpstreamTlsFaults(upstream)) errors_.push_back(std::move(fault));
  config_.upstreams.push_back(std::move(upstream));
}

void Loader::CheckUpstream(const UpstreamConfig& upstream) {
  for (const UpstreamConfig& other : config_.upstreams) {
    if (!upstream.name.empty() && other.name == upstream.name) {
      Error(upstream.where, ": upstream.name: got ", Shown(upstream.name),
            " again; want a name of its own, and ", other.where, " has this one");
    }
    if (other.services.empty() && upstream.services.empty()) {
      Error(upstream.where, ": upstream.services: missing; want the services it is called for, ",
            "since ", other.where, " gets all that nobody else serves");
    }
    for (const std::string& service : upstream.services) {
      if (!absl::c_linear_search(other.services, service)) continue;
      Error(upstream.where, ": upstream.services: got ", Shown(service), ", which ", other.where,
            " has too; want it in one of them");
    }
  }
}

MethodConfig Loader::LoadMethod(const std::string& path, const TomlSection& section,
                                const std::string& kind) {
  MethodConfig method;
  method.where = absl::StrCat(path, ":", section.line);
  Lines lines;
  for (const auto& [name, entry] : Flat(section.entries)) {
    lines[name] = entry->line;
    LoadMethodKey(path, name, *entry, kind, method);
  }
  if (!lines.count("name")) {
    Error(method.where, ": ", kind, ".name: missing; want ",
          FindKey(MethodKeys(), "name")->allowed);
  }
  CheckName(method, kind);
  CheckContradictions(path, method, lines, kind);
  return method;
}

void Loader::LoadMethodKey(const std::string& path, const std::string& name, const TomlEntry& entry,
                           const std::string& kind, MethodConfig& method) {
  const std::string label = absl::StrCat(At(path, entry.line), kind, ".", name);
  if (const Key<MethodConfig>* key = FindKey(MethodKeys(), name)) {
    Assign(*key, method, entry.value, label);
  } else if (IsTableOfMethod(name)) {
    if (!entry.table) {
      Error(label, ": got ", entry.value.shown, "; want a table of ",
            absl::StrJoin(MethodKeysIn(name + "."), ", "));
    }
    // `negative = {}` takes away what the code remembers.
    if (entry.table && name == "negative" && !method.negative) method.negative.emplace();
  } else {
    Error(At(path, entry.line), "unknown key ", absl::Utf8SafeCEscape(kind + "." + name),
          Suggestion(name, MethodKeysNear(name), kind + "."));
  }
}

// What one section says twice, differently. policy_check.h checks what the code and all sections
// say together.
void Loader::CheckContradictions(const std::string& path, const MethodConfig& method,
                                 const Lines& lines, const std::string& kind) {
  if (method.key_ignore && !method.key_ignore->empty() && method.key_mode == KeyMode::kBytes) {
    Error(At(path, lines.at("key.ignore")), kind, ".key.ignore: got a list with ", kind,
          ".key.mode = \"bytes\" (", path, ":", lines.at("key.mode"), "); want \"message\" there");
  }
  if (!method.key_metadata || !method.forward) return;
  for (const std::string& name : *method.forward) {
    if (!absl::c_linear_search(*method.key_metadata, name)) continue;
    Error(At(path, lines.at("forward")), kind, ".forward: got ", Shown(name), ", which ", kind,
          ".key.metadata has too (", path, ":", lines.at("key.metadata"),
          "); want it in one of them");
  }
}

void Loader::CheckName(const MethodConfig& method, const std::string& kind) {
  std::vector<MethodConfig> others = config_.methods;
  for (const UpstreamConfig& upstream : config_.upstreams) {
    others.insert(others.end(), upstream.methods.begin(), upstream.methods.end());
  }
  for (const MethodConfig& other : others) {
    if (method.name.empty() || other.name != method.name) continue;
    return Error(method.where, ": ", kind, ".name: got ", Shown(method.name),
                 " again; want one section ", "for a method, and ", other.where, " is this one's");
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
            Suggestion(name, Names(ServerKeys()), "--"));
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
