// What of a pipeline can be under way at once, and how it ends.
#include <gmock/gmock.h>

#include <string>
#include <thread>
#include <vector>

#include "memod/tests/server/pipeline_fixture.h"
#include "memod/tests/testing/stream_call.h"

namespace memod {
namespace {

using memo::v1::CallRequest;
using testing::AnyOf;

class PipelineFlowTest : public PipelineFixture {
 protected:
  static ServeOptions MaxCalls(int64_t max_calls) {
    ServeOptions options = MaxEntries(std::nullopt);
    options.config.pipeline.max_calls = max_calls;
    return options;
  }
  // Calls of kCompute that have begun to wait, or to be answered.
  int64_t Lookups(const SessionHandle& session) {
    const auto info = CacheInfoOf(session, kCompute);
    return info.hits() + info.misses();
  }
};

TEST_F(PipelineFlowTest, NoMoreCallsWaitThanMayAndTheRestComesLater) {
  Serve(MaxCalls(3));
  const SessionHandle session = Open("a");
  Gated("slow");
  RawPipeline pipeline = Pipeline(session);
  std::vector<std::string> keys(20, "slow");
  pipeline.Send(100, keys);  // more in one message than may wait
  EXPECT_TRUE(Soon([&] { return Lookups(session); }, 3));
  for (int i = 0; i < 50; ++i) Get(session, "other", {.method = kOther});  // time for a fourth
  EXPECT_EQ(Lookups(session), 3);
  lab.gate("slow").Open();
  for (uint64_t id = 100; id < 120; ++id) {
    EXPECT_THAT(pipeline.Words(id), AnyOf("miss a:slow", "coalesced a:slow", "hit a:slow"));
  }
  EXPECT_EQ(lab.computed("slow"), 1);
}

TEST_F(PipelineFlowTest, MessageOfAnyLengthIsWorkedOff) {
  Serve(MaxCalls(4));
  const SessionHandle session = Open("a");
  RawPipeline pipeline = Pipeline(session);
  std::vector<std::string> keys;
  for (int i = 0; i < 3000; ++i) keys.push_back(std::to_string(i % 2000));
  pipeline.Send(0, keys);
  pipeline.HalfClose();
  EXPECT_EQ(pipeline.End(), "OK");
  EXPECT_EQ(pipeline.answers().size(), 3000u);
  for (uint64_t id = 0; id < 3000; ++id) {
    EXPECT_THAT(pipeline.Words(id), testing::EndsWith("a:" + std::to_string(id % 2000)));
  }
  const auto info = CacheInfoOf(session, kCompute);
  EXPECT_EQ(info.hits() + info.misses(), 3000);
}

TEST_F(PipelineFlowTest, ClientThatReadsNothingIsHeldBack) {
  constexpr int kBytes = 100'000;
  ServeOptions options = MaxEntries(std::nullopt);
  options.config.pipeline.max_unsent_bytes = kBytes;
  Serve(options);
  const SessionHandle session = Open("a");
  lab.On("large",
         [](Computing&) -> absl::StatusOr<std::string> { return std::string(kBytes, 'v'); });
  Get(session, "large");
  StreamCall stream(client->channel(), "/memo.v1.PipelineService/Call",
                    {.metadata = {{"memo-session", session.handle()}}});
  CallRequest message;
  message.add_methods()->set_number(1);
  message.mutable_methods(0)->set_name(kCompute);
  for (uint64_t id = 0; id < 1000; ++id) AddCall(message, id, "large");
  ASSERT_TRUE(stream.Write(message.SerializeAsString()));
  // 100 MB are asked for. It stops soon: at its bound, beyond what gRPC takes from it.
  int64_t last = -1;
  EXPECT_TRUE(Soon(
      [&] {
        const int64_t now = Lookups(session);
        for (int i = 0; i < 100; ++i) Get(session, "other", {.method = kOther});
        return std::exchange(last, now) == now && now > 1;
      },
      true));
  EXPECT_LT(last, 500);
  // And goes on as it is read.
  stream.HalfClose();
  size_t answers = 0;
  while (const auto bytes = stream.Read()) {
    memo::v1::CallResponse response;
    ASSERT_TRUE(response.ParseFromString(*bytes));
    EXPECT_LT(bytes->size(), (size_t{1} << 20) + 2 * kBytes);
    answers += static_cast<size_t>(response.answers_size());
  }
  EXPECT_EQ(answers, 1000u);
  EXPECT_TRUE(stream.Finish().status.ok());
}

TEST_F(PipelineFlowTest, CancelledCallIsAnsweredAndItsComputationCancelled) {
  Serve(MaxCalls(1));
  const SessionHandle session = Open("a");
  std::atomic<bool> cancelled{false};
  lab.On("slow", [&](Computing& computing) -> absl::StatusOr<std::string> {
    lab.gate("begun").Open();
    lab.gate("begun").Pass();
    cancelled = computing.AwaitCancelled();
    return absl::CancelledError();
  });
  RawPipeline pipeline = Pipeline(session);
  pipeline.Send(1, {"slow"});
  ASSERT_TRUE(lab.gate("begun").AwaitArrived());
  CallRequest message;
  message.add_cancelled(1);
  message.add_cancelled(2);  // nobody
  pipeline.Send(message);
  EXPECT_THAT(pipeline.Words(1), testing::StartsWith("CANCELLED"));
  EXPECT_TRUE(Soon([&] { return cancelled.load(); }, true));
  EXPECT_EQ(pipeline.Get("x"), "miss a:x");
}

TEST_F(PipelineFlowTest, ClientThatGoesTakesItsCallsWithItAndNoOthers) {
  Serve();
  const SessionHandle session = Open("a");
  Gated("shared");
  std::atomic<bool> cancelled{false};
  lab.On("own", [&](Computing& computing) -> absl::StatusOr<std::string> {
    lab.gate("begun").Open();
    lab.gate("begun").Pass();
    cancelled = computing.AwaitCancelled();
    return absl::CancelledError();
  });
  Call& other = Start(session, "shared");
  ASSERT_TRUE(lab.gate("shared").AwaitArrived());
  {
    RawPipeline pipeline = Pipeline(session);
    pipeline.Send(1, {"own", "shared"});
    ASSERT_TRUE(lab.gate("begun").AwaitArrived());
    pipeline.Cancel();
    EXPECT_THAT(pipeline.End(), testing::StartsWith("CANCELLED"));
  }
  EXPECT_TRUE(Soon([&] { return cancelled.load(); }, true));
  lab.gate("shared").Open();
  EXPECT_EQ(other.Words(), "miss a:shared");
}

TEST_F(PipelineFlowTest, ClosedSessionAnswersWhatWaitsAndWhatComesLater) {
  Serve();
  Gated("slow");
  std::optional<SessionHandle> session = Open("a");
  RawPipeline pipeline = Pipeline(*session);
  EXPECT_EQ(pipeline.Get("x"), "miss a:x");
  pipeline.Send(1, {"slow", "slow"});
  ASSERT_TRUE(lab.gate("slow").AwaitArrived());
  ASSERT_TRUE(session->Close().ok());
  EXPECT_EQ(pipeline.Words(1), "ABORTED SESSION_CLOSED");
  EXPECT_EQ(pipeline.Words(2), "ABORTED SESSION_CLOSED");
  EXPECT_EQ(pipeline.Get("x"), "NOT_FOUND SESSION_NOT_FOUND");
  pipeline.HalfClose();
  EXPECT_EQ(pipeline.End(), "OK");
  lab.gate("slow").Open();
}

TEST_F(PipelineFlowTest, UpdatedStateIsWhatTheNextCallRunsOn) {
  Serve();
  SessionHandle session = Open("a");
  RawPipeline pipeline = Pipeline(session);
  EXPECT_EQ(pipeline.Get("x"), "miss a:x");
  ASSERT_TRUE(session.UpdateState(State("b")).ok());
  EXPECT_EQ(pipeline.Get("x"), "miss b:x");
  EXPECT_EQ(pipeline.Get("x"), "hit b:x");
}

TEST_F(PipelineFlowTest, DrainingAnswersWhatWaitsRefusesTheRestAndEndsTheStream) {
  Serve();
  const SessionHandle session = Open("a");
  Gated("slow");
  RawPipeline pipeline = Pipeline(session);
  RawPipeline idle = Pipeline(session);
  EXPECT_EQ(idle.Get("x"), "miss a:x");
  pipeline.Send(1, {"slow"});
  ASSERT_TRUE(lab.gate("slow").AwaitArrived());
  std::thread drain([&] { server->Drain(); });
  EXPECT_EQ(idle.End(), "UNAVAILABLE DRAINING");
  // One stream is told after the other.
  EXPECT_TRUE(Soon([&] { return pipeline.Get("x"); }, "UNAVAILABLE DRAINING"));
  RawPipeline late = Pipeline(session);
  EXPECT_EQ(late.End(), "UNAVAILABLE DRAINING");
  lab.gate("slow").Open();
  EXPECT_EQ(pipeline.Words(1), "miss a:slow");
  EXPECT_EQ(pipeline.End(), "UNAVAILABLE DRAINING");
  drain.join();
  server.reset();
}

TEST_F(PipelineFlowTest, ServerThatStopsEndsStreamsThatWait) {
  Serve();
  const SessionHandle session = Open("a");
  Gated("slow");
  RawPipeline pipeline = Pipeline(session);
  pipeline.Send(1, {"slow"});
  pipeline.Send(2, {"x"}, memo::v1::CONTROL_UNSPECIFIED, 3);
  ASSERT_TRUE(lab.gate("slow").AwaitArrived());
  lab.gate("slow").Open();
  StopServer();
  EXPECT_NE(pipeline.End(), "OK");
}

// Everything at once: hits, misses, refreshes, cancels, streams that break off, state that changes.
TEST_F(PipelineFlowTest, StreamsThatComeAndGoLeaveNothing) {
  ServeOptions options = MaxEntries(20);
  options.config.pipeline.max_calls = 5;
  Serve(options);
  SessionHandle session = Open("a");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < 25; ++round) {
        RawPipeline pipeline = Pipeline(session);
        for (uint64_t i = 0; i < 10; ++i) {
          CallRequest message;
          for (uint64_t j = 0; j < 20; ++j) {
            AddCall(message, i * 20 + j, std::to_string((i * 7 + j * 3) % 40));
            message.mutable_calls(static_cast<int>(j))
                ->set_control(static_cast<memo::v1::Control>(j % 5));
          }
          if (i > 0) message.add_cancelled((i - 1) * 20);
          if (!pipeline.Send(message)) break;
        }
        if (round % 3 == 0) {
          pipeline.HalfClose();
          EXPECT_EQ(pipeline.End(), "OK");
          EXPECT_EQ(pipeline.answers().size(), 200u);
        } else if (round % 3 == 1) {
          pipeline.Read();  // and then it goes
        }
        if (t == 0) {
          EXPECT_TRUE(session.UpdateState(State(std::to_string(round))).ok());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(Soon([&] { return AdminInfo().gauges().flights(); }, 0));
}

}  // namespace
}  // namespace memod
