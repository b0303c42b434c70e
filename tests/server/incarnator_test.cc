// What comes in while a factory is waited for, to the step; over connections see
// semantics_state_opening_test.cc.
#include "memod/server/incarnator.h"

#include <gtest/gtest.h>

#include <future>
#include <optional>
#include <string>
#include <utility>

#include "memod/tests/testing/probe.h"

namespace memod {
namespace {

using Made = absl::StatusOr<Origin>;

class IncarnatorTest : public testing::Test {
 protected:
  IncarnatorTest() { RegisterProbe(registry_, {.share_equal_states = true}); }

  std::future<Made> Make(const std::string& id, std::function<bool()> wanted) {
    google::protobuf::Any state;
    memo::testing::v1::ProbeState probe;
    probe.set_id(id);
    state.PackFrom(probe);
    auto promise = std::make_shared<std::promise<Made>>();
    std::future<Made> made = promise->get_future();
    incarnator_.Make(state, {}, {.wanted = std::move(wanted), .done = [promise](Made m) {
                                   promise->set_value(std::move(m));
                                 }});
    return made;
  }

  Lab lab_;

 private:
  CacheContext context_{std::nullopt};
  SessionTable sessions_{context_, {}};
  Registry registry_;
  Incarnator incarnator_{{sessions_, registry_, pool_, /*max_state_bytes=*/1000}};
  ComputePool pool_{{.threads = 1}};  // last: its jobs use the others
};

TEST_F(IncarnatorTest, WhatNobodyWantsIsNotMade) {
  EXPECT_TRUE(absl::IsCancelled(Make("s", [] { return false; }).get().status()));
  EXPECT_EQ(lab_.openings("s"), 0);
  EXPECT_TRUE(Make("s", [] { return true; }).get().ok());
  EXPECT_EQ(lab_.openings("s"), 1);
}

// Whenever that is: the first is asked more than once whether it still wants it.
TEST_F(IncarnatorTest, WhoComesAsTheFirstLeavesIsNotTurnedAway) {
  for (int n = 1; n <= 3; ++n) {
    const std::string id = std::to_string(n);
    int asked = 0;
    std::optional<std::future<Made>> newcomer;
    auto first = Make(id, [&] {
      if (++asked == n) newcomer = Make(id, [] { return true; });
      return false;
    });
    EXPECT_TRUE(absl::IsCancelled(first.get().status())) << n;
    EXPECT_EQ(newcomer.has_value(), asked >= n);
    if (!newcomer) continue;
    EXPECT_TRUE(newcomer->get().ok()) << n;
    EXPECT_EQ(lab_.openings(id), 1);
  }
}

}  // namespace
}  // namespace memod
