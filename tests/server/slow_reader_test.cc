// Clients that are there, answer pings, and read nothing of what they are sent.
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <semaphore>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memod/server/logging.h"
#include "memod/server/write_clock.h"
#include "memod/tests/testing/holding.h"
#include "memod/tests/testing/opening.h"
#include "memod/tests/testing/raw_pipeline.h"
#include "memod/tests/testing/server_test.h"

namespace memod {
namespace {

using grpc::StatusCode;
using std::chrono::milliseconds;

constexpr Duration kTimeout = milliseconds(500);
constexpr char kCut[] =
    "the client has read nothing for 0.5 s of what it was sent (server.write_timeout)";

class SlowReaderTest : public ServerTest {
 protected:
  void ServeWith(Duration write_timeout, Duration resume_window = Duration::zero()) {
    ServeOptions options;
    options.config.server.write_timeout = write_timeout;
    options.config.session.resume_window = resume_window;
    Serve(options);
    // A connection of its own, to which nothing is sent ahead of reading but these bytes of a stream.
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 5);
    narrow = grpc::CreateCustomChannel(target(), grpc::InsecureChannelCredentials(), arguments);
    slow_sessions = memo::v1::SessionService::NewStub(narrow);
    lab.On("large", [](Computing&) { return std::string(200'000, 'x'); });
  }
  testing::AssertionResult UnsentSoon(bool any) {
    return Soon([this] { return Gauges().unsent_bytes() > 0; }, any);
  }

  std::shared_ptr<grpc::Channel> narrow;
  std::unique_ptr<memo::v1::SessionService::Stub> slow_sessions;
};

TEST_F(SlowReaderTest, PipelineIsCutAndItsMemoryFreed) {
  ServeWith(kTimeout);
  const SessionHandle session = Open("a");
  EXPECT_EQ(Get(session, "x"), "miss a:x");
  RawPipeline pipeline(narrow, session.handle());
  const Time begin = Clock::now();
  ASSERT_TRUE(pipeline.Send(0, {"large", "large", "large", "large"}));
  EXPECT_TRUE(UnsentSoon(true));
  // What was on its way comes yet; then it is told why.
  EXPECT_TRUE(UnsentSoon(false));
  EXPECT_GE(Clock::now() - begin, kTimeout);
  EXPECT_TRUE(Soon([this] { return Gauges().reactors(); }, 1)) << "the session's stream";
  EXPECT_EQ(pipeline.End(), absl::StrCat("DEADLINE_EXCEEDED: ", kCut));
  EXPECT_EQ(Get(session, "x"), "hit a:x") << "the session does not end with a pipeline";
}

TEST_F(SlowReaderTest, PipelineThatComputesIsCutWithItsCalls) {
  ServeWith(kTimeout);
  const SessionHandle session = Open("a");
  lab.On("endless", [](Computing& c) -> absl::StatusOr<std::string> {
    EXPECT_TRUE(c.AwaitCancelled());
    return absl::CancelledError();
  });
  RawPipeline pipeline(narrow, session.handle());
  ASSERT_TRUE(pipeline.Send(0, {"large", "endless"}));
  EXPECT_TRUE(UnsentSoon(true));
  EXPECT_TRUE(Soon([this] { return Gauges().flights(); }, 0));
  EXPECT_TRUE(UnsentSoon(false));
  EXPECT_EQ(pipeline.End(), absl::StrCat("DEADLINE_EXCEEDED: ", kCut));
}

TEST_F(SlowReaderTest, PipelineThatIsReadGoesOn) {
  ServeWith(kTimeout);
  const SessionHandle session = Open("a");
  RawPipeline pipeline(narrow, session.handle());
  // Messages enough for several times the timeout, had they been one write.
  const Time begin = Clock::now();
  for (uint64_t id = 0; Clock::now() - begin < 4 * kTimeout; ++id) {
    ASSERT_TRUE(pipeline.Send(id, {"large"}));
    ASSERT_NE(pipeline.Answer(id), nullptr);
  }
  pipeline.HalfClose();
  EXPECT_EQ(pipeline.End(), "OK");
}

TEST_F(SlowReaderTest, SessionWhoseOpeningNobodyReadsIsClosed) {
  ServeWith(kTimeout);
  InitLogging(LogLevel::info, LogFormat::kText);
  testing::internal::CaptureStderr();
  Opening opening(*slow_sessions, State("a"));
  EXPECT_TRUE(AliveSoon("sessions 1, instances 1"));
  EXPECT_TRUE(AliveSoon("nothing"));
  const std::string log = testing::internal::GetCapturedStderr();
  InitLogging(LogLevel::off, LogFormat::kText);
  EXPECT_THAT(log, testing::HasSubstr("client does not read: its stream is cut peer=ipv4:"));
  EXPECT_EQ(opening.Wait().error_code(), StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(opening.Wait().error_message(), kCut);
}

TEST_F(SlowReaderTest, HolderWhoReadsNoAnswersToItsHeartbeatsHoldsNoMore) {
  ServeWith(kTimeout);
  Opening opening(*sessions, State("a"));
  Holding holding(*slow_sessions, opening.handle());
  ASSERT_TRUE(holding.Hold());
  EXPECT_EQ(Gauges().holders(), 2);
  EXPECT_TRUE(holding.SendHeartbeat());
  EXPECT_TRUE(Soon([this] { return Gauges().holders(); }, 1));
  EXPECT_EQ(holding.Wait().error_code(), StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(holding.Wait().error_message(), kCut);
  EXPECT_EQ(Ask(opening.handle(), Request("x")).Words(), "miss a:x");
  opening.Cancel();
  EXPECT_TRUE(AliveSoon("nothing"));
}

TEST_F(SlowReaderTest, SessionThatIsCutWaitsForItsClientWithinTheResumeWindow) {
  ServeWith(kTimeout, std::chrono::hours(1));
  Opening opening(*sessions, State("a"));
  Holding holding(*slow_sessions, opening.handle());
  ASSERT_TRUE(holding.Hold());
  opening.Cancel();
  EXPECT_TRUE(holding.SendHeartbeat());
  EXPECT_TRUE(Soon([this] { return Gauges().holders(); }, 0));
  EXPECT_TRUE(Soon([this] { return Gauges().leases(); }, 1));
  EXPECT_EQ(holding.Wait().error_message(), kCut);
  EXPECT_EQ(Ask(opening.handle(), Request("x")).Words(), "miss a:x");
  Holding again(*sessions, opening.handle());
  ASSERT_TRUE(again.Hold());
  grpc::ClientContext context;
  context.AddMetadata("memo-session", opening.handle());
  memo::v1::CloseSessionResponse closed;
  EXPECT_TRUE(sessions->CloseSession(&context, {}, &closed).ok());
  EXPECT_TRUE(again.Wait().ok());
}

// What the clock sees.

TEST(WriteLooksTest, OnlyTheSameWriteIsTooLong) {
  WriteLooks write;
  EXPECT_FALSE(write.Look());
  for (int n = 0; n < 10; ++n) {
    write.Begin(100);
    EXPECT_TRUE(write.under_way());
    for (int look = 0; look < WriteLooks::kMost; ++look) EXPECT_FALSE(write.Look());
    write.End();
    EXPECT_FALSE(write.under_way());
    EXPECT_FALSE(write.Look());
  }
  write.Begin(100);
  for (int look = 0; look < WriteLooks::kMost; ++look) EXPECT_FALSE(write.Look());
  EXPECT_TRUE(write.Look());
  EXPECT_FALSE(write.Look()) << "it has been told";
}

TEST(WriteLooksTest, LargeOneHasMoreTime) {
  WriteLooks write;
  write.Begin(1 << 20);
  for (int look = 0; look < WriteLooks::kMost + 16; ++look) EXPECT_FALSE(write.Look());
  EXPECT_TRUE(write.Look());
}

TEST(WriteClockTest, WithoutATimeoutItDoesNotLook) {
  std::atomic<int> looks = 0;
  std::counting_semaphore looks_of_another(0);
  const WriteClock clock(Duration::zero(), [&] {
    ++looks;
    return std::vector<StalledCall>();
  });
  // One with a timeout shows that there was time enough.
  const WriteClock another(milliseconds(1), [&] {
    looks_of_another.release();
    return std::vector<StalledCall>();
  });
  for (int i = 0; i < 20; ++i) looks_of_another.acquire();
  EXPECT_EQ(looks, 0);
}

}  // namespace
}  // namespace memod
