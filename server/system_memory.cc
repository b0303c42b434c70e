#include "memod/server/system_memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace memod {
namespace {

namespace fs = std::filesystem;

// How version 1 says that there is no limit: as many pages as fit.
constexpr int64_t kNoLimit = int64_t{1} << 60;

struct CgroupFiles {
  const char* limit;
  const char* used;
  const char* inactive_file;  // in memory.stat
};
constexpr CgroupFiles kV1 = {"memory.limit_in_bytes", "memory.usage_in_bytes",
                             "total_inactive_file"};
constexpr CgroupFiles kV2 = {"memory.max", "memory.current", "inactive_file"};

// Of a file that holds one number. nullopt: there is none, or it says something else, as in "max".
std::optional<int64_t> ReadNumber(const fs::path& file) {
  std::ifstream in(file);
  int64_t number = 0;
  return in >> number ? std::optional(number) : std::nullopt;
}

// Of a file of lines of a name and a number. 0: it is not there.
int64_t ReadNumber(const fs::path& file, std::string_view name) {
  std::ifstream in(file);
  std::string found;
  for (int64_t number = 0; in >> found >> number;) {
    if (found == name) return number;
  }
  return 0;
}

std::optional<int64_t> UsedIn(const fs::path& cgroup, const CgroupFiles& files) {
  const std::optional<int64_t> used = ReadNumber(cgroup / files.used);
  if (!used) return std::nullopt;
  // Two files, read one after the other, and the kernel is late with the second.
  return std::max<int64_t>(0, *used - ReadNumber(cgroup / "memory.stat", files.inactive_file));
}

std::optional<int64_t> ResidentSet() {
  std::ifstream in("/proc/self/statm");
  int64_t all = 0, resident = 0;
  if (!(in >> all >> resident)) return std::nullopt;
  return resident * sysconf(_SC_PAGESIZE);
}

// The cgroup at `path` below `mount`, and those around it. A container may see its own as the mount,
// and a path of which nothing is there.
void Consider(const fs::path& mount, fs::path path, const CgroupFiles& files,
              std::optional<MemorySource>& least) {
  while (true) {
    const fs::path cgroup = mount / path.relative_path();
    const std::optional<int64_t> limit = ReadNumber(cgroup / files.limit);
    if (limit && *limit > 0 && *limit < kNoLimit && (!least || *limit < least->limit)) {
      least = MemorySource{*limit, std::string(files.limit) + " of the cgroup",
                           [cgroup, files] { return UsedIn(cgroup, files); }};
    }
    if (path == path.root_path()) return;
    path = path.parent_path();
  }
}

}  // namespace

std::optional<MemorySource> CgroupMemory(const std::string& membership, const fs::path& root) {
  std::optional<MemorySource> least;
  // "4:memory:/path" is version 1, "0::/path" version 2.
  for (const absl::string_view line : absl::StrSplit(membership, '\n')) {
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3 || !fs::path(parts[2]).is_absolute()) continue;
    if (parts[0] == "0" && parts[1].empty()) Consider(root, parts[2], kV2, least);
    for (const absl::string_view controller : absl::StrSplit(parts[1], ',')) {
      if (controller == "memory") Consider(root / "memory", parts[2], kV1, least);
    }
  }
  return least;
}

std::optional<MemorySource> SystemMemory(std::optional<int64_t> max_memory) {
  if (!max_memory) return std::nullopt;
  if (*max_memory > 0) return MemorySource{*max_memory, "server.max_memory", ResidentSet};
  std::ostringstream membership;
  membership << std::ifstream("/proc/self/cgroup").rdbuf();
  return CgroupMemory(membership.str(), "/sys/fs/cgroup");
}

}  // namespace memod
