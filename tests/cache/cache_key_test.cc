#include "memod/cache/cache_key.h"

#include <unistd.h>

#include <cstdio>
#include <memory>
#include <set>
#include <string>

#include "gtest/gtest.h"

namespace memod {
namespace {

TEST(CacheKeyTest, SameMethodAndBytesAreOneKey) {
  const std::string a = "request", b = "request";
  EXPECT_EQ(CacheKey(1, a), CacheKey(1, b));
  EXPECT_EQ(CacheKey(1, a).hash(), CacheKey(1, b).hash());
}

TEST(CacheKeyTest, SameRequestToTwoMethodsIsTwoKeys) {
  EXPECT_FALSE(CacheKey(1, "request") == CacheKey(2, "request"));
}

TEST(CacheKeyTest, AnyDifferentByteIsAnotherKey) {
  const std::string request("a\0b\0c", 5);
  for (size_t i = 0; i < request.size(); ++i) {
    std::string other = request;
    other[i] ^= 1;
    EXPECT_FALSE(CacheKey(1, request) == CacheKey(1, other)) << "byte " << i;
  }
  EXPECT_FALSE(CacheKey(1, request) == CacheKey(1, std::string_view(request).substr(0, 4)));
  EXPECT_FALSE(CacheKey(1, "") == CacheKey(1, std::string_view("\0", 1)));
}

TEST(CacheKeyTest, EqualHashesAloneDoNotMakeKeysEqual) {
  EXPECT_FALSE(CacheKey(1, "a", 7) == CacheKey(1, "b", 7));
  EXPECT_FALSE(CacheKey(1, "a", 7) == CacheKey(2, "a", 7));
}

TEST(CacheKeyTest, IsAViewThatCopiesNoBytes) {
  const std::string request = "request";
  EXPECT_EQ(CacheKey(1, request).bytes().data(), request.data());
}

TEST(CacheKeyTest, IsMadeAgainFromItsHash) {
  const CacheKey key(3, "request");
  EXPECT_EQ(CacheKey(3, "request", key.hash()), key);
}

TEST(SecretHashTest, SaltMakesAnotherHash) {
  EXPECT_NE(SecretHash("bytes", 0), SecretHash("bytes", 1));
  EXPECT_EQ(SecretHash("bytes"), SecretHash("bytes", 0));
}

TEST(SecretHashTest, SpreadsOverAllBits) {
  std::set<uint64_t> low, high;
  for (int i = 0; i < 4096; ++i) {
    const uint64_t hash = SecretHash(std::to_string(i));
    low.insert(hash & 0xffff);
    high.insert(hash >> 48);
  }
  EXPECT_GT(low.size(), 3500u);  // 3970 expected of a random function
  EXPECT_GT(high.size(), 3500u);
}

// Run by the next test only.
TEST(SecretHashTest, DISABLED_PrintOne) { std::printf("hash %lx\n", SecretHash("bytes")); }

std::string HashInAnotherProcess() {
  char self[4096] = {};
  if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0) return "";
  const std::string command =
      std::string("'") + self +
      "' --gtest_also_run_disabled_tests --gtest_filter=SecretHashTest.DISABLED_PrintOne";
  const std::unique_ptr<FILE, int (*)(FILE*)> output(popen(command.c_str(), "r"), pclose);
  char line[256];
  while (output != nullptr && fgets(line, sizeof(line), output.get()) != nullptr) {
    if (std::string_view(line).starts_with("hash ")) return line;
  }
  return "";
}

TEST(SecretHashTest, DiffersFromProcessToProcess) {
  const std::string one = HashInAnotherProcess();
  EXPECT_NE(one, "");
  EXPECT_NE(one, HashInAnotherProcess());
}

TEST(RandomBytesTest, AreAsManyAsAskedForAndNeverTheSame) {
  EXPECT_EQ(RandomBytes(0), "");
  std::set<std::string> drawn;
  for (int i = 0; i < 1000; ++i) drawn.insert(RandomBytes(32));
  EXPECT_EQ(drawn.size(), 1000u);
  EXPECT_EQ(drawn.begin()->size(), 32u);
}

}  // namespace
}  // namespace memod
