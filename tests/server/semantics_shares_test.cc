// session.guaranteed_bytes: what a session holds within its share, no other takes from it.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memod/tests/testing/server_test.h"

namespace memod {
namespace {

class SharesTest : public ServerTest {
 protected:
  static constexpr int64_t kMaxBytes = 100'000;
  static constexpr int kQuietKeys = 20;

  void ServeGuaranteed(int64_t bytes) {
    ServeOptions options = MaxEntries(std::nullopt);
    options.config.cache.max_bytes = kMaxBytes;
    options.config.session.guaranteed_bytes = bytes;
    Serve(options);
  }
  static std::string Large(const std::string& key) { return key + std::string(1000, '.'); }
  static std::string Quiet(int i) { return absl::StrCat("quiet ", i); }

  // The quiet one asks for its keys in turn, `rounds` times; before each call each of the noisy
  // asks for ten that nobody has asked for.
  void Run(const SessionHandle& quiet, const std::vector<const SessionHandle*>& noisy, int rounds) {
    for (int i = 0; i < rounds * kQuietKeys; ++i) {
      for (const SessionHandle* session : noisy) {
        for (int n = 0; n < 10; ++n) Get(*session, Large(absl::StrCat(i, " ", n)));
      }
      Get(quiet, Quiet(i % kQuietKeys));
      ASSERT_LE(AdminInfo().gauges().bytes(), kMaxBytes);
    }
  }
};

TEST_F(SharesTest, QuietSessionKeepsAllOfItsEntriesBesideTwoAtTenTimesItsRate) {
  ServeGuaranteed(20'000);
  const SessionHandle quiet = Open("quiet"), first = Open("1"), second = Open("2");
  Run(quiet, {&first, &second}, 3);
  EXPECT_EQ(Info(quiet), "hits 40, misses 20, computations 20, currsize 20");
  EXPECT_GT(CacheInfoOf(first, kCompute).evictions(), 100) << "the noisy take from each other";
  EXPECT_GT(CacheInfoOf(second, kCompute).evictions(), 100);
}

TEST_F(SharesTest, WithoutAShareItLosesThem) {
  ServeGuaranteed(0);
  const SessionHandle quiet = Open("quiet"), first = Open("1"), second = Open("2");
  Run(quiet, {&first, &second}, 3);
  EXPECT_EQ(CacheInfoOf(quiet, kCompute).hits(), 0);
  EXPECT_GT(CacheInfoOf(quiet, kCompute).evictions(), 40);
}

// min(guaranteed_bytes, max_bytes / sessions), so that there is always somebody to take from.
TEST_F(SharesTest, ShareIsAtMostAnEqualPart) {
  ServeGuaranteed(1 << 30);
  const SessionHandle quiet = Open("quiet"), first = Open("1"), second = Open("2");
  Run(quiet, {&first, &second}, 2);
  EXPECT_EQ(CacheInfoOf(quiet, kCompute).evictions(), 0);
  for (const SessionHandle* noisy : {&first, &second}) {
    EXPECT_GT(CacheInfoOf(*noisy, kCompute).evictions(), 0);
    EXPECT_GT(CacheInfoOf(*noisy, kCompute).bytes(), kMaxBytes / 3 - 2000) << "each keeps its part";
  }
}

TEST_F(SharesTest, WhatASessionHoldsBeyondItsShareIsAnybodysByRecency) {
  ServeGuaranteed(20'000);
  const SessionHandle hoarder = Open("hoarder"), other = Open("other");
  for (int i = 0; i < 40; ++i) Get(hoarder, Large(absl::StrCat(i)));
  EXPECT_EQ(CacheInfoOf(hoarder, kCompute).evictions(), 0) << "while nobody needs the room";
  for (int i = 0; i < 200; ++i) Get(other, Large(absl::StrCat(i)));
  const auto left = CacheInfoOf(hoarder, kCompute);
  EXPECT_GT(left.evictions(), 0);
  EXPECT_LE(left.bytes(), 20'000);
  EXPECT_GT(left.bytes(), 20'000 - 2000);
  EXPECT_TRUE(Get(hoarder, Large("39")).starts_with("hit")) << "what it keeps is its most recent";
  EXPECT_TRUE(Get(hoarder, Large("0")).starts_with("miss"));
}

TEST_F(SharesTest, WhatAllShareHasNone) {
  ServeGuaranteed(20'000);
  const SessionHandle noisy = Open("noisy");
  for (int i = 0; i < kQuietKeys; ++i) Get(noisy, Quiet(i), {.method = kShared});
  for (int i = 0; i < 200; ++i) Get(noisy, Large(absl::StrCat(i)));
  EXPECT_EQ(AdminInfo("", kShared).total().currsize(), 0);
}

}  // namespace
}  // namespace memod
