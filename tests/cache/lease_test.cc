// When a lease lapses, by a clock that only the test moves.
#include "memod/cache/lease.h"

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace memod {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class LeaseTest : public testing::Test {
 protected:
  struct Named final : Lease {
    Named(std::string n, std::vector<std::string>& told) : name(std::move(n)), lapsed(told) {}
    void OnLapsed() override { lapsed.push_back(name); }
    const std::string name;
    std::vector<std::string>& lapsed;
  };

  std::shared_ptr<Named> Grant(const std::string& name, Duration ttl) {
    auto lease = std::make_shared<Named>(name, lapsed_);
    leases_.Grant(lease, ttl, now_);
    return lease;
  }
  // As the server does, which runs all the time.
  void Run(Duration d) {
    for (const Time until = now_ + d; now_ < until;) {
      now_ = std::min(until, now_ + Leases::kTick);
      LetLapse();
    }
  }
  // The server does not run for so long.
  void Stall(Duration d) {
    now_ += d;
    LetLapse();
  }
  void LetLapse() {
    while (leases_.Advance(now_)) {
    }
  }
  std::vector<std::string> Lapsed() { return std::exchange(lapsed_, {}); }
  using Names = std::vector<std::string>;

  Leases leases_;
  Time now_{seconds(1000)};

 private:
  std::vector<std::string> lapsed_;
};

TEST_F(LeaseTest, LapsesAfterItsTimeToLiveAndOnce) {
  const auto lease = Grant("a", seconds(10));
  Run(seconds(10) - milliseconds(1));
  EXPECT_EQ(Lapsed(), Names());
  EXPECT_TRUE(leases_.granted(*lease));
  Run(milliseconds(1));
  EXPECT_EQ(Lapsed(), Names{"a"});
  EXPECT_FALSE(leases_.granted(*lease));
  EXPECT_EQ(leases_.size(), 0);
  Run(seconds(60));
  EXPECT_EQ(Lapsed(), Names());
  EXPECT_EQ(lease.use_count(), 1);
}

TEST_F(LeaseTest, RenewedItLivesOn) {
  const auto lease = Grant("a", seconds(10));
  for (int i = 0; i < 20; ++i) {
    Run(seconds(9));
    EXPECT_TRUE(leases_.Renew(*lease, now_));
  }
  Run(seconds(10) - milliseconds(1));
  EXPECT_EQ(Lapsed(), Names());
  Run(milliseconds(1));
  EXPECT_EQ(Lapsed(), Names{"a"});
  EXPECT_FALSE(leases_.Renew(*lease, now_));
}

// Between two ticks the time goes on.
TEST_F(LeaseTest, IsCountedFromTheRenewalNotFromTheTickBefore) {
  const auto lease = Grant("a", seconds(10));
  Run(seconds(1));
  now_ += milliseconds(49);
  EXPECT_TRUE(leases_.Renew(*lease, now_));
  Run(seconds(10) - milliseconds(1));
  EXPECT_EQ(Lapsed(), Names());
  Run(milliseconds(1));
  EXPECT_EQ(Lapsed(), Names{"a"});
}

TEST_F(LeaseTest, FirstOfManyAfterALongTimeOfNoneHasItsWholeTime) {
  Grant("a", seconds(1));
  Run(seconds(2));
  Lapsed();
  now_ += std::chrono::hours(1);  // nobody advances meanwhile
  Grant("b", seconds(1));
  Run(milliseconds(999));
  EXPECT_EQ(Lapsed(), Names());
  Run(milliseconds(1));
  EXPECT_EQ(Lapsed(), Names{"b"});
}

TEST_F(LeaseTest, LapseInTheOrderOfTheirTimes) {
  Grant("c", seconds(3));
  Grant("a", seconds(1));
  const auto b = Grant("b", seconds(1));
  leases_.Grant(b, seconds(2), now_);
  Run(seconds(5));
  EXPECT_EQ(Lapsed(), (Names{"a", "b", "c"}));
}

TEST_F(LeaseTest, GrantedAgainLapsesAtTheLaterTimeAndHasTheNewTimeToLive) {
  const auto lease = Grant("a", seconds(10));
  leases_.Grant(lease, seconds(1), now_);
  Run(seconds(9));
  EXPECT_TRUE(leases_.Renew(*lease, now_));  // for a second, which is no more than was left
  EXPECT_EQ(Lapsed(), Names());
  Run(seconds(1));
  EXPECT_EQ(Lapsed(), Names{"a"});
  leases_.Grant(lease, seconds(2), now_);
  Run(seconds(2));
  EXPECT_EQ(Lapsed(), Names{"a"});
}

TEST_F(LeaseTest, RevokedNeverLapses) {
  const auto lease = Grant("a", seconds(1));
  leases_.Revoke(*lease);
  leases_.Revoke(*lease);
  EXPECT_EQ(leases_.size(), 0);
  EXPECT_EQ(lease.use_count(), 1);
  EXPECT_FALSE(leases_.Renew(*lease, now_));
  Run(seconds(5));
  EXPECT_EQ(Lapsed(), Names());
}

// After a stall each client has as much time to renew as it had before.
TEST_F(LeaseTest, WhileTheServerIsStoppedTheirTimeStandsStill) {
  const auto lease = Grant("a", seconds(10));
  Run(seconds(6));
  Stall(std::chrono::hours(1));
  EXPECT_EQ(Lapsed(), Names());
  Run(seconds(4) - Leases::kLongestTick - milliseconds(1));
  EXPECT_EQ(Lapsed(), Names());
  EXPECT_TRUE(leases_.Renew(*lease, now_));
  Run(seconds(10) - milliseconds(1));
  EXPECT_EQ(Lapsed(), Names());
  Run(milliseconds(1));
  EXPECT_EQ(Lapsed(), Names{"a"});
}

// Requests that came in meanwhile may be looked at before the next tick.
TEST_F(LeaseTest, RenewalRightAfterAStallGetsItsWholeTime) {
  const auto lease = Grant("a", seconds(10));
  Run(seconds(9));
  now_ += std::chrono::hours(1);
  EXPECT_TRUE(leases_.Renew(*lease, now_));
  LetLapse();
  Run(seconds(10) - milliseconds(1));
  EXPECT_EQ(Lapsed(), Names());
  Run(milliseconds(1));
  EXPECT_EQ(Lapsed(), Names{"a"});
}

TEST_F(LeaseTest, ManyLapseAtOnceAndNoneIsForgotten) {
  constexpr int kMany = 2500;
  std::vector<std::shared_ptr<Named>> leases;
  for (int i = 0; i < kMany; ++i) leases.push_back(Grant(std::to_string(i), seconds(1)));
  for (int i = 0; i < kMany; i += 2) leases_.Revoke(*leases[i]);
  Run(seconds(1));
  EXPECT_EQ(Lapsed().size(), kMany / 2);
}

// Telling them takes its time, and that of the others goes on meanwhile.
TEST_F(LeaseTest, OfVeryManyEachIsOverAtItsTimeThoughToldLater) {
  constexpr size_t kMany = 2500;
  std::vector<std::shared_ptr<Named>> leases;
  for (size_t i = 0; i < kMany; ++i) leases.push_back(Grant("one of many", seconds(1)));
  const auto renewed = Grant("renewed", seconds(1));
  const auto next = Grant("next", seconds(1) + milliseconds(1));
  Run(seconds(1) - milliseconds(1));
  EXPECT_TRUE(leases_.Renew(*renewed, now_));
  for (const auto& lease : leases) EXPECT_TRUE(leases_.granted(*lease));

  now_ += milliseconds(1);
  EXPECT_TRUE(leases_.Advance(now_)) << "there are more";
  const size_t told = Lapsed().size();
  EXPECT_LT(told, kMany);
  for (const auto& lease : leases) {
    EXPECT_FALSE(leases_.granted(*lease));
    EXPECT_FALSE(leases_.Renew(*lease, now_));
  }
  EXPECT_TRUE(leases_.granted(*next));
  now_ += milliseconds(1);
  EXPECT_TRUE(leases_.Advance(now_));
  EXPECT_FALSE(leases_.granted(*next)) << "and it is not told yet";

  EXPECT_TRUE(leases_.Renew(*renewed, now_));
  LetLapse();
  EXPECT_EQ(told + Lapsed().size(), kMany + 1);
  EXPECT_EQ(leases_.size(), 1);
}

// As that of a session which somebody holds beside it.
TEST_F(LeaseTest, WhatIsOverCanBeGrantedAnewBeforeItIsTold) {
  std::vector<std::shared_ptr<Named>> leases;
  for (int i = 0; i < 2500; ++i) leases.push_back(Grant("one of many", seconds(1)));
  const auto last = Grant("last", seconds(1) + milliseconds(1));
  Run(seconds(1) - milliseconds(1));
  now_ += milliseconds(2);
  EXPECT_TRUE(leases_.Advance(now_));
  EXPECT_FALSE(leases_.granted(*last));
  leases_.Grant(last, seconds(5), now_);
  EXPECT_TRUE(leases_.granted(*last));
  LetLapse();
  EXPECT_EQ(Lapsed().size(), 2500u);
  Run(seconds(5) - milliseconds(1));
  EXPECT_EQ(Lapsed(), Names());
  Run(milliseconds(1));
  EXPECT_EQ(Lapsed(), Names{"last"});
}

TEST_F(LeaseTest, AwaitAnyReturnsWithTheFirstLeaseAndWithStop) {
  std::thread grants([this] { Grant("a", seconds(1)); });
  EXPECT_TRUE(leases_.AwaitAny());
  grants.join();
  EXPECT_TRUE(leases_.AwaitAny());
  Run(seconds(2));
  std::thread stops([this] { leases_.Stop(); });
  EXPECT_FALSE(leases_.AwaitAny());
  stops.join();
}

}  // namespace
}  // namespace memod
