// What the kernel says of memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "memod/server/memory_pressure.h"

namespace memod {

// The limit that server.max_memory says, and what this process uses of it (its resident set). 0: that
// of the process's cgroup, with all that is used there but file pages that the kernel drops first;
// nullopt if it has none. nullopt: none.
std::optional<MemorySource> SystemMemory(std::optional<int64_t> max_memory);

// The least limit of the cgroup that `membership` (/proc/self/cgroup) says, and of those that it is
// in, v2 or v1, below the mount `root` (/sys/fs/cgroup).
std::optional<MemorySource> CgroupMemory(const std::string& membership,
                                         const std::filesystem::path& root);

}  // namespace memod
