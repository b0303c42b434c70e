// What the kernel says of memory: the files of cgroups as version 1 and 2 have them.
#include "memod/server/system_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace memod {
namespace {

namespace fs = std::filesystem;

class CgroupMemoryTest : public testing::Test {
 protected:
  CgroupMemoryTest() { fs::create_directories(root_); }
  ~CgroupMemoryTest() override { fs::remove_all(root_); }

  void Write(const std::string& file, const std::string& text) {
    fs::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << text;
  }
  // "200 of 1000", or "none".
  std::string Read(const std::string& membership) {
    const auto source = CgroupMemory(membership, root_);
    if (!source) return "none";
    const auto used = source->used();
    return (used ? std::to_string(*used) : "?") + " of " + std::to_string(source->limit);
  }

  const fs::path root_ = fs::path(testing::TempDir()) / ("cgroup" + std::to_string(getpid()));
};

TEST_F(CgroupMemoryTest, Version2WithoutWhatIsDroppedFirst) {
  Write("pods/memod/memory.max", "1000\n");
  Write("pods/memod/memory.current", "500\n");
  Write("pods/memod/memory.stat", "anon 150\ninactive_file 300\nactive_file 50\n");
  EXPECT_EQ(Read("0::/pods/memod\n"), "200 of 1000");
  Write("pods/memod/memory.current", "900\n");
  EXPECT_EQ(Read("0::/pods/memod\n"), "600 of 1000") << "read anew each time";
}

TEST_F(CgroupMemoryTest, Version2WithoutALimit) {
  Write("pods/memod/memory.max", "max\n");
  Write("pods/memod/memory.current", "500\n");
  EXPECT_EQ(Read("0::/pods/memod\n"), "none");
}

TEST_F(CgroupMemoryTest, TheLeastLimitAroundItCounts) {
  Write("pods/memod/memory.max", "3000\n");
  Write("pods/memod/memory.current", "500\n");
  Write("pods/memory.max", "2000\n");
  Write("pods/memory.current", "1500\n");
  EXPECT_EQ(Read("0::/pods/memod\n"), "1500 of 2000");
}

TEST_F(CgroupMemoryTest, Version1) {
  Write("memory/docker/1/memory.limit_in_bytes", "1000\n");
  Write("memory/docker/1/memory.usage_in_bytes", "500\n");
  Write("memory/docker/1/memory.stat", "inactive_file 1\ntotal_inactive_file 300\n");
  Write("memory/memory.limit_in_bytes", "9223372036854771712\n");
  const std::string membership = "5:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n0::/\n";
  EXPECT_EQ(Read(membership), "200 of 1000");
  Write("memory/docker/1/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(Read(membership), "none");
}

// A container whose mount is its own cgroup, under a path that is the host's.
TEST_F(CgroupMemoryTest, PathOfWhichNothingIsThere) {
  Write("memory/memory.limit_in_bytes", "1000\n");
  Write("memory/memory.usage_in_bytes", "500\n");
  EXPECT_EQ(Read("4:memory:/docker/1\n"), "500 of 1000");
  Write("memory.max", "800\n");
  Write("memory.current", "100\n");
  EXPECT_EQ(Read("0::/../../elsewhere\n"), "100 of 800");
}

TEST_F(CgroupMemoryTest, NothingThatReads) {
  EXPECT_EQ(Read(""), "none");
  EXPECT_EQ(Read("garbage\n0::\n::::\n"), "none");
  Write("memory.max", "1000\n");
  EXPECT_EQ(Read("0::/"), "? of 1000") << "how much is used is not told";
}

TEST(SystemMemoryTest, GivenLimitIsOfTheResidentSet) {
  const auto source = SystemMemory(int64_t{1} << 40);
  ASSERT_TRUE(source);
  EXPECT_EQ(source->limit, int64_t{1} << 40);
  const int64_t before = source->used().value();
  EXPECT_GT(before, 1 << 20);
  const std::string large(64 << 20, 'x');
  EXPECT_GE(source->used().value(), before + (60 << 20)) << large.size();
}

TEST(SystemMemoryTest, UnboundedIsNone) { EXPECT_FALSE(SystemMemory(std::nullopt)); }

}  // namespace
}  // namespace memod
