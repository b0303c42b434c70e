// State scope: sessions that are opened at once with equal state wait for one factory.
#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <utility>

#include "memod/tests/testing/opening.h"
#include "memod/tests/testing/server_test.h"

namespace memod {
namespace {

class StateOpeningTest : public ServerTest {
 protected:
  void ServeSharing(Config config = TestConfig()) {
    ServeOptions options{.config = std::move(config)};
    options.probe.share_equal_states = true;
    Serve(options);
  }
  // Making an instance of `id` waits at the gate of that name and then says `status`.
  void BlockOpening(const std::string& id, const absl::Status& status = absl::OkStatus()) {
    lab.OnOpen(id, [this, id, status] {
      lab.gate(id).Pass();
      return status;
    });
  }
  std::deque<Opening> OpenAtOnce(const std::string& id, int count) {
    std::deque<Opening> openings;
    for (int i = 0; i < count; ++i) openings.emplace_back(*sessions, State(id));
    EXPECT_TRUE(lab.gate(id).AwaitArrived());
    // The server has seen what was sent before: it comes on the same connection.
    Ask(std::nullopt, Request("barrier"), {.method = kStatic, .control = "bypass"});
    return openings;
  }
};

TEST_F(StateOpeningTest, ManyThatOpenAtOnceWaitForOneFactory) {
  ServeSharing();
  BlockOpening("s");
  auto openings = OpenAtOnce("s", 20);
  EXPECT_EQ(AdminInfo().gauges().sessions(), 0);
  lab.gate("s").Open();
  for (Opening& opening : openings) EXPECT_NE(opening.handle(), "");
  EXPECT_EQ(lab.openings("s"), 1);
  EXPECT_TRUE(AliveSoon("sessions 20, instances 1"));
  EXPECT_EQ(Ask(openings.front().handle(), Request("x")).Words(), "miss s:x");
  EXPECT_EQ(Ask(openings.back().handle(), Request("x")).Words(), "hit s:x");
}

TEST_F(StateOpeningTest, FirstThatOpensLeavesAndTheOthersGetTheirSession) {
  ServeSharing();
  BlockOpening("s");
  auto openings = OpenAtOnce("s", 4);
  openings.front().Cancel();
  EXPECT_EQ(openings.front().Wait().error_code(), grpc::StatusCode::CANCELLED);
  lab.gate("s").Open();
  for (size_t i = 1; i < openings.size(); ++i) {
    EXPECT_EQ(Ask(openings[i].handle(), Request("x")).Words(), i == 1 ? "miss s:x" : "hit s:x");
  }
  EXPECT_EQ(lab.openings("s"), 1);
  EXPECT_TRUE(AliveSoon("sessions 3, instances 1, entries 1"));
}

TEST_F(StateOpeningTest, AllThatOpenLeaveAndNothingIsLeft) {
  ServeSharing();
  BlockOpening("s");
  { auto openings = OpenAtOnce("s", 3); }
  lab.gate("s").Open();
  EXPECT_TRUE(Soon([&] { return lab.instances(); }, 0));
  EXPECT_TRUE(AliveSoon("nothing"));
  EXPECT_EQ(Get(Open("s"), "x"), "miss s:x");
}

TEST_F(StateOpeningTest, FactoryThatFailsTellsAllAndTheNextOpeningTriesAgain) {
  ServeSharing();
  BlockOpening("s", absl::OutOfRangeError("not today"));
  auto openings = OpenAtOnce("s", 5);
  lab.gate("s").Open();
  for (Opening& opening : openings) {
    EXPECT_EQ(opening.handle(), "");
    EXPECT_EQ(opening.Wait().error_code(), grpc::StatusCode::OUT_OF_RANGE);
    EXPECT_EQ(opening.Wait().error_message(), "not today");
  }
  const int failed = lab.openings("s");
  EXPECT_LT(failed, 5);
  BlockOpening("s");
  EXPECT_EQ(Get(Open("s"), "x"), "miss s:x");
  EXPECT_EQ(lab.openings("s"), failed + 1);
}

TEST_F(StateOpeningTest, FullQueueTurnsAnOpeningAwayAndTheNextTriesAgain) {
  Config config = TestConfig();
  config.compute.threads = 1;
  config.compute.queue = 1;
  ServeSharing(config);
  const SessionHandle busy = Open("busy");
  lab.On("running", [&](Computing&) {
    lab.gate("running").Pass();
    return "done";
  });
  Start(busy, "running");
  ASSERT_TRUE(lab.gate("running").AwaitArrived());
  Call& queued = *StartMany(busy, "queued", 1)[0];
  EXPECT_TRUE(AliveSoon("sessions 1, instances 1, flights 2"));
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(client->OpenSession(State("s")).status().code(),
              absl::StatusCode::kResourceExhausted);
  }
  EXPECT_TRUE(client->OpenSession(State("busy")).ok()) << "which needs no factory";
  lab.gate("running").Open();
  queued.Wait();
  EXPECT_EQ(Get(Open("s"), "x"), "miss s:x");
  EXPECT_EQ(lab.openings("s"), 1);
}

}  // namespace
}  // namespace memod
