#include "memod/server/config_sections.h"

#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "memod/server/config_keys.h"
#include "memod/server/config_listeners.h"
#include "memod/server/config_values.h"
#include "memod/server/suggestion.h"

namespace memod {
namespace {

using std::string_view;

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

}  // namespace

RepeatedSections::RepeatedSections(std::string path, Config& config,
                                   std::vector<std::string>& errors)
    : path_(std::move(path)), config_(config), errors_(errors) {}

std::string RepeatedSections::At(int line) const { return absl::StrCat(path_, ":", line, ": "); }

template <class... Parts>
void RepeatedSections::Error(const Parts&... parts) {
  errors_.push_back(absl::StrCat(parts...));
}

template <class T>
void RepeatedSections::Assign(const Key<T>& key, T& target, const ConfigValue& value,
                              const std::string& label) {
  const std::string refusal = key.set(target, value);
  if (!refusal.empty()) Error(label, ": ", refusal);
}

void RepeatedSections::AddMethod(const TomlSection& section) {
  config_.methods.push_back(LoadMethod(section, "method"));
}

void RepeatedSections::AddUpstream(const TomlSection& section) {
  UpstreamConfig upstream;
  upstream.where = absl::StrCat(path_, ":", section.line);
  LoadDefaults(section, upstream);
  config_.upstreams.push_back(upstream);  // so that the names of its methods are seen to be taken
  for (const TomlEntry& entry : section.entries) {
    const std::string name = "upstream." + entry.name;
    if (const Key<UpstreamConfig>* key = FindKey(UpstreamKeys(), entry.name)) {
      Assign(*key, upstream, entry.value, At(entry.line) + name);
    } else if (entry.name != "method" && entry.name != "defaults") {
      std::vector<std::string> names = NamesOf(UpstreamKeys());
      names.push_back("method");
      names.push_back("defaults");
      Error(At(entry.line), "unknown key ", absl::Utf8SafeCEscape(name),
            Suggestion(entry.name, names, "upstream."));
    } else if (entry.name == "method" && entry.elements.empty()) {
      Error(At(entry.line), name, ": got ", entry.value.shown,
            "; want sections [[upstream.method]]");
    }
    if (entry.name != "method") continue;
    for (const TomlSection& method : entry.elements) {
      upstream.methods.push_back(LoadMethod(method, "upstream.method", upstream.defaults));
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

void RepeatedSections::CheckUpstream(const UpstreamConfig& upstream) {
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

MethodConfig RepeatedSections::LoadMethod(const TomlSection& section, const std::string& kind,
                                          MethodConfig method) {
  method.where = absl::StrCat(path_, ":", section.line);
  const Lines lines = LoadMethodKeys(section.entries, kind, method);
  if (!lines.count("name")) {
    Error(method.where, ": ", kind, ".name: missing; want ",
          FindKey(MethodKeys(), "name")->allowed);
  }
  CheckName(method, kind);
  CheckContradictions(method, lines, kind);
  return method;
}

// What is given in the file goes over what `method` says: a whole list, a whole table.
RepeatedSections::Lines RepeatedSections::LoadMethodKeys(const std::vector<TomlEntry>& entries,
                                                         const std::string& kind,
                                                         MethodConfig& method) {
  Lines lines;
  const auto flat = Flat(entries);
  for (const auto& [name, entry] : flat) {
    if (name == "negative" || name.starts_with("negative.")) method.negative.reset();
  }
  for (const auto& [name, entry] : flat) {
    lines[name] = entry->line;
    LoadMethodKey(name, *entry, kind, method);
  }
  return lines;
}

void RepeatedSections::LoadDefaults(const TomlSection& section, UpstreamConfig& upstream) {
  constexpr char kKind[] = "upstream.defaults";
  for (const TomlEntry& entry : section.entries) {
    if (entry.name != "defaults") continue;
    if (!entry.table) {
      Error(At(entry.line), kKind, ": got ", entry.value.shown,
            "; want a section [upstream.defaults]");
      continue;
    }
    upstream.defaults.where = absl::StrCat(path_, ":", entry.line);
    const Lines lines = LoadMethodKeys(*entry.table, kKind, upstream.defaults);
    if (lines.count("name")) {
      Error(At(lines.at("name")), kKind, ".name: want it left out: it is for all methods");
    }
    CheckContradictions(upstream.defaults, lines, kKind);
  }
}

void RepeatedSections::LoadMethodKey(const std::string& name, const TomlEntry& entry,
                                     const std::string& kind, MethodConfig& method) {
  const std::string label = absl::StrCat(At(entry.line), kind, ".", name);
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
    Error(At(entry.line), "unknown key ", absl::Utf8SafeCEscape(kind + "." + name),
          Suggestion(name, MethodKeysNear(name), kind + "."));
  }
}

// What one section says twice, differently. policy_check.h checks what the code and all sections
// say together.
void RepeatedSections::CheckContradictions(const MethodConfig& method, const Lines& lines,
                                           const std::string& kind) {
  // What is in the defaults of an upstream has no line here.
  if (method.key_ignore && !method.key_ignore->empty() && method.key_mode == KeyMode::kBytes &&
      lines.count("key.ignore") && lines.count("key.mode")) {
    Error(At(lines.at("key.ignore")), kind, ".key.ignore: got a list with ", kind,
          ".key.mode = \"bytes\" (", path_, ":", lines.at("key.mode"), "); want \"message\" there");
  }
  if (!lines.count("key.metadata") || !lines.count("forward")) return;
  if (!method.key_metadata || !method.forward) return;
  for (const std::string& name : *method.forward) {
    if (!absl::c_linear_search(*method.key_metadata, name)) continue;
    Error(At(lines.at("forward")), kind, ".forward: got ", Shown(name), ", which ", kind,
          ".key.metadata has too (", path_, ":", lines.at("key.metadata"),
          "); want it in one of them");
  }
}

void RepeatedSections::CheckName(const MethodConfig& method, const std::string& kind) {
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

}  // namespace memod
