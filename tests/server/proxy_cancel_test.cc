// Who goes, and by when it is over: deadlines and cancellation, both ways through.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>

#include "memod/tests/testing/upstream_test.h"

namespace memod {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using SteadyClock = std::chrono::steady_clock;

// By when the upstream is to know.
constexpr milliseconds kAtOnce(100);

class ProxyCancelTest : public UpstreamTest {
 protected:
  // The next calls of kEcho and kRemote read a message, and wait until they are cancelled.
  void WaitToBeCancelled() {
    for (const char* method : {kEcho, kKnown, kRemote}) {
      upstream.On(method, [this](UpstreamCall& call) {
        call.Read();
        begun.Pass();
        EXPECT_TRUE(call.AwaitCancelled());
        cancelled_at = SteadyClock::now();
        cancelled.Pass();
      });
    }
    begun.Open();
    cancelled.Open();
  }
  void ExpectCancelledWithin(milliseconds time, SteadyClock::time_point since) {
    ASSERT_TRUE(cancelled.AwaitArrived());
    EXPECT_LE(cancelled_at - since, time);
  }
  // Of the deadline, when the call came in at the upstream.
  seconds RemainingSeconds(const std::string& method) {
    return std::chrono::round<seconds>(upstream.seen(method).back().remaining);
  }

  Gate begun, cancelled;
  SteadyClock::time_point cancelled_at;
};

TEST_F(ProxyCancelTest, UpstreamHasWhatRemainsOfTheCallersDeadlineAndNeverMore) {
  ServeBefore({Remote()});
  for (const char* method : {kEcho, kKnown, kRemote}) {
    for (const milliseconds deadline : {seconds(5), seconds(60), seconds(3000)}) {
      ASSERT_TRUE(Ask(std::nullopt, "", {.method = method, .deadline = deadline}).status.ok());
      const auto remaining = upstream.seen(method).back().remaining;
      // Each hop, the one to memod included, writes it with a few digits, rounded up: it is memod's
      // own clock that ends the call in time.
      EXPECT_LE(remaining, deadline * 102 / 100);
      EXPECT_GT(remaining, deadline - kPatience / 10);
    }
  }
}

TEST_F(ProxyCancelTest, WithoutADeadlineThereIsNone) {
  ServeBefore({Remote()});
  for (const char* method : {kEcho, kKnown, kRemote}) {
    grpc::ClientContext context;
    grpc::GenericStub stub(through());
    const grpc::ByteBuffer request = ToByteBuffer("");
    grpc::ByteBuffer response;
    Gate done;
    stub.UnaryCall(&context, method, {}, &request, &response,
                   [&](const grpc::Status&) { done.Open(); });
    done.Pass();
    EXPECT_GT(RemainingSeconds(method), seconds(1'000'000));
  }
}

TEST_F(ProxyCancelTest, DeadlineEndsTheCallAtBothEnds) {
  ServeBefore();
  WaitToBeCancelled();
  constexpr milliseconds kDeadline(200);
  const auto begin = SteadyClock::now();
  const Told told = Ask(std::nullopt, "x", {.method = kEcho, .deadline = kDeadline});
  EXPECT_EQ(told.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  ExpectCancelledWithin(kDeadline + kAtOnce, begin);
}

TEST_F(ProxyCancelTest, UpstreamSeesAtOnceThatAStreamIsCancelled) {
  ServeBefore();
  WaitToBeCancelled();
  StreamCall call(through(), kEcho);
  ASSERT_TRUE(call.Write("x"));
  ASSERT_TRUE(begun.AwaitArrived());
  const auto begin = SteadyClock::now();
  call.Cancel();
  ExpectCancelledWithin(kAtOnce, begin);
  EXPECT_EQ(call.Finish().status.error_code(), grpc::StatusCode::CANCELLED);
}

class UnaryCancelTest : public ProxyCancelTest, public testing::WithParamInterface<const char*> {};

TEST_P(UnaryCancelTest, UpstreamSeesItAtOnce) {
  ServeBefore({Remote()});
  WaitToBeCancelled();
  Call& call = StartBytes(std::nullopt, "x", {.method = GetParam()});
  ASSERT_TRUE(begun.AwaitArrived());
  const auto begin = SteadyClock::now();
  call.Cancel();
  ExpectCancelledWithin(kAtOnce, begin);
}

INSTANTIATE_TEST_SUITE_P(, UnaryCancelTest, testing::Values(kRemote, kKnown));

TEST_F(ProxyCancelTest, UpstreamSeesAtOnceThatTheConnectionIsGone) {
  ServeBefore();
  WaitToBeCancelled();
  Wire wire(server->port());
  const auto channel = grpc::CreateChannel("127.0.0.1:" + std::to_string(wire.port()),
                                           grpc::InsecureChannelCredentials());
  StreamCall call(channel, kEcho);
  ASSERT_TRUE(call.Write("x"));
  ASSERT_TRUE(begun.AwaitArrived());
  const auto begin = SteadyClock::now();
  wire.Set(Fault::kRefuse);
  ExpectCancelledWithin(kAtOnce, begin);
}

// An upload that breaks off must not look like one that is complete.
TEST_F(ProxyCancelTest, CallerThatGoesIsNeverTakenForItsHalfClose) {
  ServeBefore();
  std::atomic<int> half_closed{0};
  upstream.On(kEcho, [&](UpstreamCall& call) {
    begun.Pass();
    while (call.Read()) {
    }
    if (call.half_closed()) ++half_closed;
    cancelled.Pass();
  });
  begun.Open();
  cancelled.Open();
  constexpr int kCalls = 200;
  for (int i = 1; i <= kCalls; ++i) {
    StreamCall call(through(), kEcho);
    ASSERT_TRUE(call.Write("x"));
    ASSERT_TRUE(begun.AwaitArrived(i));
    call.Cancel();
    ASSERT_TRUE(cancelled.AwaitArrived(i));
  }
  EXPECT_EQ(half_closed, 0);
}

TEST_F(ProxyCancelTest, CallerThatStopsReadingIsHeldBackAndCanStillGo) {
  ServeBefore();
  upstream.On(kEcho, [&](UpstreamCall& call) {
    const std::string large(1 << 20, 'x');
    while (call.Write(large)) {
    }
    cancelled.Pass();
  });
  cancelled.Open();
  StreamCall call(through(), kEcho);
  EXPECT_TRUE(call.Read().has_value());
  call.Cancel();
  EXPECT_TRUE(cancelled.AwaitArrived());
}

TEST_F(ProxyCancelTest, UpstreamThatCancelsIsHeardByTheCaller) {
  ServeBefore();
  upstream.On(kEcho, EndWith(grpc::Status(grpc::StatusCode::CANCELLED, "I went")));
  EXPECT_EQ(Ask(std::nullopt, "", {.method = kEcho}).Words(), "CANCELLED: I went");
}

// Stopping

TEST_F(ProxyCancelTest, DrainWaitsForWhatPassesThrough) {
  ServeBefore();
  StreamCall call(through(), kEcho);
  ASSERT_TRUE(call.Write("x"));
  EXPECT_EQ(call.Read(), "x");
  std::thread drain([&] { server->Drain(); });
  ASSERT_TRUE(call.Write("y"));
  EXPECT_EQ(call.Read(), "y");
  call.HalfClose();
  EXPECT_TRUE(call.Finish().status.ok());
  drain.join();
  StopServer();
}

// What is silent is none of the calls in flight, until it is no more.
TEST_F(ProxyCancelTest, DrainWaitsForNoMessageThatHasNotCome) {
  ServeBefore();
  StreamCall silent(through(), kKnown), late(through(), kKnown), stream(through(), kEcho);
  ASSERT_TRUE(stream.Write("x"));
  EXPECT_EQ(stream.Read(), "x");
  EXPECT_TRUE(Soon([this] { return Gauges().reactors(); }, 3));
  const Time begin = Clock::now();
  std::thread drain([&] { server->Drain(); });
  ASSERT_TRUE(late.Write(Request("y")));
  EXPECT_EQ(late.Read(), Request("y"));
  EXPECT_TRUE(late.Finish().status.ok()) << "it came in time";
  EXPECT_TRUE(Soon([this] { return Gauges().reactors(); }, 2));
  stream.HalfClose();
  EXPECT_TRUE(stream.Finish().status.ok());
  drain.join();
  EXPECT_LT(Clock::now() - begin, TestConfig().server.drain_timeout);
  EXPECT_FALSE(silent.Finish().status.ok());
  StopServer();
}

TEST_F(ProxyCancelTest, ServerThatStopsCancelsWhatIsUnderWay) {
  ServeBefore({Remote()});
  WaitToBeCancelled();
  const SessionHandle session = Open("a");
  Call& memoized = StartBytes(session.handle(), "y", {.method = kRemote});
  Call& passed = StartBytes(std::nullopt, "y", {.method = kRemote});
  StreamCall stream(through(), kEcho);
  ASSERT_TRUE(stream.Write("x"));
  ASSERT_TRUE(begun.AwaitArrived(3));
  StopServer();
  EXPECT_TRUE(cancelled.AwaitArrived(3));
  EXPECT_FALSE(memoized.Wait().status.ok());
  EXPECT_FALSE(passed.Wait().status.ok());
  EXPECT_FALSE(stream.Finish().status.ok());
}

}  // namespace
}  // namespace memod
