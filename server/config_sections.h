// The sections of a TOML file of which there may be many, [[method]] and [[upstream]]: what each of
// them says, and that they do not contradict one another. Internal to config.cc.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "memod/server/config.h"
#include "memod/server/config_keys.h"
#include "memod/server/config_toml.h"

namespace memod {

// Of one file, in its order.
class RepeatedSections {
 public:
  // Into `config`, and what is wrong with them into `errors`, as LoadConfig says it. `path`: of the
  // file, for messages.
  RepeatedSections(std::string path, Config& config, std::vector<std::string>& errors);
  void AddMethod(const TomlSection& section);
  void AddUpstream(const TomlSection& section);

 private:
  // Where the keys of a [[method]] are.
  using Lines = std::map<std::string, int>;

  // Of [[method]] and [[upstream.method]]: `kind` is what its keys are called by, `method` what it
  // says where the section does not.
  MethodConfig LoadMethod(const TomlSection& section, const std::string& kind,
                          MethodConfig method = {});
  Lines LoadMethodKeys(const std::vector<TomlEntry>& entries, const std::string& kind,
                       MethodConfig& method);
  void LoadMethodKey(const std::string& name, const TomlEntry& entry, const std::string& kind,
                     MethodConfig& method);
  void CheckName(const MethodConfig& method, const std::string& kind);
  void CheckContradictions(const MethodConfig& method, const Lines& lines, const std::string& kind);
  // [upstream.defaults].
  void LoadDefaults(const TomlSection& section, UpstreamConfig& upstream);
  void CheckUpstream(const UpstreamConfig& upstream);

  std::string At(int line) const;
  // `label` says what was set where: "memod.toml:12: method.ttl".
  template <class T>
  void Assign(const Key<T>& key, T& target, const ConfigValue& value, const std::string& label);
  template <class... Parts>
  void Error(const Parts&... parts);

  const std::string path_;
  Config& config_;
  std::vector<std::string>& errors_;
};

}  // namespace memod
