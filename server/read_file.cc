#include "memod/server/read_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace memod {

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const auto failed = [] { return absl::InvalidArgumentError(std::strerror(errno)); };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             std::fclose);
  if (!file) return failed();
  std::string text;
  char buffer[4096];
  while (const size_t count = std::fread(buffer, 1, sizeof(buffer), file.get())) {
    text.append(buffer, count);
  }
  if (std::ferror(file.get())) return failed();
  return text;
}

}  // namespace memod
