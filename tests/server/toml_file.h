// A configuration file that is there as long as the object is. Tests may run side by side.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/strings/str_replace.h"
#include "memod/server/config.h"

namespace memod {

class TomlFile {
 public:
  explicit TomlFile(const std::string& text) {
    folder_ = testing::TempDir() + "memod-XXXXXX";
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    std::ofstream(path(), std::ios::binary) << text;
  }
  ~TomlFile() {
    unlink(path().c_str());
    rmdir(folder_.c_str());
  }
  TomlFile(const TomlFile&) = delete;
  TomlFile& operator=(const TomlFile&) = delete;

  std::string path() const { return folder_ + "/memod.toml"; }
  // A text in which the file is called memod.toml, wherever it is.
  std::string Relative(std::string_view text) const {
    return absl::StrReplaceAll(absl::string_view(text.data(), text.size()), {{folder_ + "/", ""}});
  }

 private:
  std::string folder_;
};

// "OK", or what is wrong, with the file called memod.toml.
inline std::string ConfigError(ConfigSources sources, const std::string& toml = "") {
  const TomlFile file(toml);
  if (!sources.toml_file) sources.toml_file = file.path();
  const absl::StatusOr<Config> config = LoadConfig(sources);
  if (config.ok()) return "OK";
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  return file.Relative({config.status().message().data(), config.status().message().size()});
}

}  // namespace memod
