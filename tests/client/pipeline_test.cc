// The client's Pipeline against a memod in this process.
#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "memod/tests/testing/server_test.h"

namespace memod {
namespace {

using memo::testing::v1::ProbeRequest;
using memo::testing::v1::ProbeResponse;
using testing::ElementsAre;
using testing::HasSubstr;

class ClientPipelineTest : public ServerTest {
 protected:
  using Future = std::future<absl::StatusOr<ProbeResponse>>;

  static Future Call(Pipeline& pipeline, const std::string& key,
                     const std::string& method = kCompute) {
    ProbeRequest request;
    request.set_key(key);
    return pipeline.Call<ProbeResponse>(method, request);
  }
  // The answer's value, or the error as "NOT_FOUND SESSION_NOT_FOUND", "OUT_OF_RANGE: why".
  static std::string Words(Future future) {
    if (future.wait_for(kPatience) != std::future_status::ready) return "not answered";
    const absl::StatusOr<ProbeResponse> answer = future.get();
    if (answer.ok()) return answer->value();
    const std::string code = absl::StatusCodeToString(answer.status().code());
    const auto word = answer.status().GetPayload("memo-error");
    return word ? code + " " + std::string(*word)
                : code + ": " + std::string(answer.status().message());
  }
  void Gated(const std::string& key) {
    lab.On(key, [this, key](Computing&) -> absl::StatusOr<std::string> {
      lab.gate(key).Pass();
      return key;
    });
  }
};

TEST_F(ClientPipelineTest, CallsOfManyThreadsAreEachAnswered) {
  Serve(MaxEntries(std::nullopt));
  const SessionHandle session = Open("a");
  Pipeline pipeline = session.Pipeline();
  constexpr int kThreads = 4, kCalls = 3000;  // more than may be outstanding
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      std::vector<Future> futures;
      for (int i = 0; i < kCalls; ++i) futures.push_back(Call(pipeline, std::to_string(i)));
      for (int i = 0; i < kCalls; ++i) {
        right += Words(std::move(futures[static_cast<size_t>(i)])) == "a:" + std::to_string(i);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, kThreads * kCalls);
  const auto info = CacheInfoOf(session, kCompute);
  EXPECT_EQ(info.hits() + info.misses(), kThreads * kCalls);
  EXPECT_EQ(info.computations(), kCalls);
}

TEST_F(ClientPipelineTest, CallbackIsToldHowTheAnswerCame) {
  Serve();
  const SessionHandle session = Open("a");
  Pipeline pipeline = session.Pipeline();
  std::vector<int> came;
  for (const auto control :
       {memo::v1::CONTROL_UNSPECIFIED, memo::v1::CONTROL_UNSPECIFIED, memo::v1::CONTROL_BYPASS}) {
    absl::Notification told;
    pipeline.Call(
        kCompute, Request("x"),
        [&](const PipelineAnswer& answer) {
          ProbeResponse response;
          EXPECT_TRUE(response.ParseFromString(std::string(answer.response)));
          EXPECT_EQ(response.value(), "a:x");
          came.push_back(answer.cache);
          told.Notify();
        },
        control);
    told.WaitForNotification();
  }
  EXPECT_THAT(came, ElementsAre(memo::v1::CACHE_STATUS_MISS, memo::v1::CACHE_STATUS_HIT,
                                memo::v1::CACHE_STATUS_BYPASS));
}

TEST_F(ClientPipelineTest, ErrorsAreThoseOfAUnaryCall) {
  Serve();
  lab.On("bad", [](Computing&) -> absl::StatusOr<std::string> {
    return absl::OutOfRangeError("too far");
  });
  Pipeline pipeline = Open("a").Pipeline();  // whose session ends at once
  const SessionHandle session = Open("b");
  Pipeline held = session.Pipeline();
  EXPECT_EQ(Words(Call(held, "bad")), "OUT_OF_RANGE: too far");
  EXPECT_THAT(Words(Call(held, "x", "/no.Such/Method")), HasSubstr("UNIMPLEMENTED"));
  EXPECT_TRUE(Soon([&] { return Words(Call(pipeline, "x")); }, "NOT_FOUND SESSION_NOT_FOUND"));
  EXPECT_TRUE(pipeline.status().ok());
}

TEST_F(ClientPipelineTest, MoreMethodsThanNumbersAreToldApart) {
  Serve();
  const SessionHandle session = Open("a");
  Pipeline pipeline = session.Pipeline();
  EXPECT_EQ(Words(Call(pipeline, "x")), "a:x");
  std::vector<Future> unknown;
  for (int i = 0; i < 1500; ++i) {
    unknown.push_back(Call(pipeline, "x", "/no.Such/Method" + std::to_string(i)));
    if (i % 100 == 0) {
      EXPECT_EQ(Words(Call(pipeline, "x")), "a:x");
    }
  }
  for (size_t i = 0; i < unknown.size(); ++i) {
    EXPECT_THAT(Words(std::move(unknown[i])), HasSubstr("/no.Such/Method" + std::to_string(i)));
  }
}

TEST_F(ClientPipelineTest, CallWaitsForRoomButNotWithinACallback) {
  Serve();
  Gated("slow");
  const SessionHandle session = Open("a");
  Pipeline pipeline = session.Pipeline({.max_outstanding = 2});
  Future first = Call(pipeline, "slow"), second = Call(pipeline, "slow");
  std::atomic<bool> made{false};
  std::thread third([&] {
    Future future = Call(pipeline, "x");
    made = true;
    EXPECT_EQ(Words(std::move(future)), "a:x");
  });
  ASSERT_TRUE(lab.gate("slow").AwaitArrived());
  for (int i = 0; i < 100; ++i) Get(session, "other");  // time for the third
  EXPECT_FALSE(made);
  lab.gate("slow").Open();
  third.join();
  EXPECT_TRUE(made);

  std::promise<std::string> nested;
  pipeline.Call(kCompute, Request("x"), [&](const PipelineAnswer&) {
    for (int i = 0; i < 5; ++i) {
      pipeline.Call(kCompute, Request("y"), [&, i](const PipelineAnswer& answer) {
        if (i == 4) nested.set_value(answer.status.ok() ? "told" : "failed");
      });
    }
  });
  EXPECT_EQ(nested.get_future().get(), "told");
}

// Else callbacks of two that are full, each of which calls on the other, wait for ever.
TEST_F(ClientPipelineTest, CallbackDoesNotWaitForRoomInAnotherPipeline) {
  Serve();
  Gated("slow");
  const SessionHandle session = Open("a");
  Pipeline full = session.Pipeline({.max_outstanding = 1}), other = session.Pipeline();
  Future first = Call(full, "slow");
  ASSERT_TRUE(lab.gate("slow").AwaitArrived());
  absl::Notification made;
  Future second;
  other.Call(kCompute, Request("x"), [&](const PipelineAnswer&) {
    second = Call(full, "y");
    made.Notify();
  });
  EXPECT_TRUE(made.WaitForNotificationWithTimeout(absl::FromChrono(kPatience)));
  lab.gate("slow").Open();
  EXPECT_EQ(Words(std::move(first)), "slow");
  made.WaitForNotification();
  EXPECT_EQ(Words(std::move(second)), "a:y");
}

TEST_F(ClientPipelineTest, EventOfASessionDoesNotWaitForRoom) {
  Serve();
  Gated("slow");
  std::optional<Pipeline> full;
  absl::Notification made;
  Future second;
  SessionEvents events;
  events.draining = [&] {
    second = Call(*full, "slow");
    made.Notify();
  };
  const SessionHandle session = Open("a", events);
  full.emplace(session.Pipeline({.max_outstanding = 1}));
  Future first = Call(*full, "slow");
  ASSERT_TRUE(lab.gate("slow").AwaitArrived());
  std::thread drain([&] { server->Drain(); });
  EXPECT_TRUE(made.WaitForNotificationWithTimeout(absl::FromChrono(kPatience)));
  lab.gate("slow").Open();
  EXPECT_EQ(Words(std::move(first)), "slow");
  made.WaitForNotification();
  second.wait();
  full.reset();
  drain.join();
  StopServer();
}

TEST_F(ClientPipelineTest, CancelledCallIsToldSoAndItsComputationIsCancelled) {
  Serve();
  std::atomic<bool> cancelled{false};
  lab.On("slow", [&](Computing& computing) -> absl::StatusOr<std::string> {
    lab.gate("begun").Open();
    lab.gate("begun").Pass();
    cancelled = computing.AwaitCancelled();
    return absl::CancelledError("given up");
  });
  const SessionHandle session = Open("a");
  Pipeline pipeline = session.Pipeline();
  std::promise<grpc::StatusCode> told;
  const uint64_t id = pipeline.Call(kCompute, Request("slow"), [&](const PipelineAnswer& answer) {
    told.set_value(answer.status.error_code());
  });
  ASSERT_TRUE(lab.gate("begun").AwaitArrived());
  pipeline.Cancel(id);
  EXPECT_EQ(told.get_future().get(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(Soon([&] { return cancelled.load(); }, true));
}

TEST_F(ClientPipelineTest, DestroyingItTellsWhatIsOutstandingOnce) {
  Serve();
  Gated("slow");
  const SessionHandle session = Open("a");
  std::atomic<int> told{0};
  {
    Pipeline pipeline = session.Pipeline();
    for (int i = 0; i < 10; ++i) {
      pipeline.Call(kCompute, Request("slow"), [&](const PipelineAnswer& answer) {
        EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::CANCELLED);
        ++told;
      });
    }
  }
  EXPECT_EQ(told, 10);
  lab.gate("slow").Open();
}

TEST_F(ClientPipelineTest, LastOfItMayBeHeldByOneOfItsCallbacks) {
  Serve();
  const SessionHandle session = Open("a");
  std::promise<void> gone;
  struct Held {
    explicit Held(std::promise<void>& gone) : gone(gone) {}
    ~Held() {
      pipeline.reset();
      gone.set_value();
    }
    std::promise<void>& gone;
    std::optional<Pipeline> pipeline;
  };
  auto held = std::make_shared<Held>(gone);
  Gated("slow");
  held->pipeline.emplace(session.Pipeline());
  held->pipeline->Call(kCompute, Request("slow"), [held](const PipelineAnswer&) {});
  ASSERT_TRUE(lab.gate("slow").AwaitArrived());
  held.reset();
  lab.gate("slow").Open();
  EXPECT_EQ(gone.get_future().wait_for(kPatience), std::future_status::ready);
}

TEST_F(ClientPipelineTest, LostStreamTellsEveryCallOnceAndEveryLaterOne) {
  Serve();
  Gated("slow");
  const SessionHandle session = Open("a");
  Pipeline pipeline = session.Pipeline();
  std::vector<Future> waiting;
  for (int i = 0; i < 10; ++i) waiting.push_back(Call(pipeline, "slow"));
  ASSERT_TRUE(lab.gate("slow").AwaitArrived());
  // One that comes in when the server's end has closed the session is told SESSION_NOT_FOUND.
  ASSERT_TRUE(Soon([this] { return Gauges().waiters(); }, 10));
  lab.gate("slow").Open();
  StopServer();
  for (Future& future : waiting) {
    EXPECT_THAT(Words(std::move(future)),
                testing::AnyOf("slow", HasSubstr("ABORTED"), HasSubstr("UNAVAILABLE"),
                               HasSubstr("CANCELLED")));
  }
  EXPECT_TRUE(Soon([&] { return pipeline.status().ok(); }, false));
  EXPECT_EQ(Words(Call(pipeline, "x")).substr(0, 11), "UNAVAILABLE");
}

}  // namespace
}  // namespace memod
