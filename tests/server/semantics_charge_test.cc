// Bytes: what entries are charged, and what is too large to be one.
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "memod/tests/testing/server_test.h"

namespace memod {
namespace {

class ChargeTest : public ServerTest {
 protected:
  // Keys "0", "1", ... are answered with as many bytes.
  void AnswerWithBytes(int size) {
    lab.On(absl::StrCat(size), [size](Computing&) { return std::string(size, 'x'); });
  }
  int64_t Bytes(const SessionHandle& session) { return CacheInfoOf(session, kCompute).bytes(); }
};

TEST_F(ChargeTest, BytesCountKeyAndValueAndWhatAnEntryCosts) {
  Serve();
  const SessionHandle session = Open("a");
  // The allocator gives memory by 16 bytes.
  const std::string k(16, 'k'), kk(32, 'k'), kkk(48, 'k');
  lab.On(k, [](Computing&) { return std::string(10, 'x'); });
  lab.On(kk, [](Computing&) { return std::string(10, 'x'); });
  lab.On(kkk, [](Computing&) { return std::string(26, 'x'); });
  Get(session, k);
  const int64_t first = Bytes(session);
  EXPECT_GT(first, static_cast<int64_t>(Request(k).size()) + 10);
  Get(session, kk);
  EXPECT_EQ(Bytes(session) - first, first + 16);
  Get(session, kkk);
  EXPECT_EQ(Bytes(session) - first - (first + 16), first + 48);
  EXPECT_EQ(AdminInfo().gauges().bytes(), Bytes(session));
  EXPECT_EQ(AdminInfo("", kCompute).total().bytes(), Bytes(session));
}

TEST_F(ChargeTest, AnswerOverMaxEntryBytesIsDeliveredNotStoredAndEvictsNothing) {
  Serve({.probe = {.compute = {.max_entries = 2, .max_entry_bytes = 502}}});
  const SessionHandle session = Open("a");
  AnswerWithBytes(499);  // its field's tag and length are 3 bytes
  AnswerWithBytes(500);
  Get(session, "x");
  Get(session, "499");
  EXPECT_EQ(Get(session, "500").size(), 505u);  // "miss " and it
  EXPECT_EQ(Get(session, "500").substr(0, 4), "miss");
  EXPECT_EQ(Get(session, "499").substr(0, 4), "hit ");
  EXPECT_EQ(Get(session, "x"), "hit a:x");
  EXPECT_EQ(Info(session), "hits 2, misses 4, computations 4, too_large 2, currsize 2");
}

TEST_F(ChargeTest, TooLargeAnswerOfARefreshLeavesTheOldEntry) {
  Serve({.probe = {.compute = {.max_entry_bytes = 100}}});
  const SessionHandle session = Open("a");
  lab.On("x", [](Computing& c) { return std::string(c.nth == 1 ? 10 : 200, 'x'); });
  Get(session, "x");
  EXPECT_EQ(Get(session, "x", {.control = "refresh"}).size(), 205u);
  EXPECT_EQ(Get(session, "x"), "hit xxxxxxxxxx");
  EXPECT_EQ(Info(session), "hits 1, misses 1, computations 2, too_large 1, currsize 1");
}

TEST_F(ChargeTest, AnswerOverTheWholeServersBytesIsDeliveredNotStoredAndEvictsNothing) {
  ServeOptions options;
  options.config.cache.max_bytes = 10'000;
  Serve(options);
  const SessionHandle session = Open("a");
  AnswerWithBytes(10'000);
  Get(session, "x");
  EXPECT_EQ(Get(session, "10000").size(), 10'005u);
  EXPECT_EQ(Get(session, "x"), "hit a:x");
  EXPECT_EQ(Info(session), "hits 1, misses 2, computations 2, too_large 1, currsize 1");
}

TEST_F(ChargeTest, ServerWithoutBytesStoresNothing) {
  ServeOptions options;
  options.config.cache.max_bytes = 0;
  Serve(options);
  const SessionHandle session = Open("a");
  EXPECT_EQ(Get(session, "x"), "miss a:x");
  EXPECT_EQ(Get(session, "x"), "miss a:x");
  EXPECT_EQ(Info(session), "misses 2, computations 2, too_large 2, currsize 0");
}

TEST_F(ChargeTest, BytesOfTheServerHoldWheneverNoStoreIsInProgress) {
  ServeOptions options = MaxEntries(std::nullopt);
  options.config.cache.max_bytes = 20'000;
  Serve(options);
  std::vector<SessionHandle> open;
  for (int s = 0; s < 3; ++s) open.push_back(Open(absl::StrCat(s)));
  AnswerWithBytes(3'000);
  AnswerWithBytes(7'000);
  for (int i = 0; i < 200; ++i) {
    Get(open[i % 3], i % 7 == 0 ? "7000" : i % 5 == 0 ? "3000" : absl::StrCat(i));
    const auto info = AdminInfo();
    ASSERT_LE(info.gauges().bytes(), 20'000);
    ASSERT_EQ(info.gauges().bytes(), info.total().bytes());
    ASSERT_EQ(info.gauges().entries(), info.total().currsize());
  }
  EXPECT_GT(AdminInfo().total().evictions(), 0);
}

}  // namespace
}  // namespace memod
