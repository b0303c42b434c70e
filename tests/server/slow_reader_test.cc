// Clients that are there, answer pings, and read nothing of what they are sent.
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <semaphore>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memod/server/logging.h"
#include "memod/server/unsent_answers.h"
#include "memod/server/write_clock.h"
#include "memod/tests/testing/holding.h"
#include "memod/tests/testing/opening.h"
#include "memod/tests/testing/raw_pipeline.h"
#include "memod/tests/testing/server_test.h"
#include "memod/tests/testing/stream_call.h"
#include "memod/tests/testing/upstream_test.h"

namespace memod {
namespace {

using grpc::StatusCode;
using std::chrono::milliseconds;

constexpr Duration kTimeout = milliseconds(500);
constexpr char kCut[] =
    "the client has read nothing for 0.5 s of what it was sent (server.write_timeout)";

// A connection of its own, to which nothing is sent ahead of reading but five bytes of a stream.
std::shared_ptr<grpc::Channel> Narrow(const std::string& target) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 5);
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
}

// A unary call whose answer is read when the test says so.
class UnreadCall : public StreamCall {
 public:
  UnreadCall(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
             const std::string& key, const std::multimap<std::string, std::string>& metadata = {})
      : StreamCall(channel, method, {.metadata = metadata}) {
    EXPECT_TRUE(Write(Request(key)));
    HalfClose();
  }
};

// Reads what was on its way, and why no more comes.
void ExpectCut(StreamCall& call) {
  EXPECT_EQ(call.Read(), std::nullopt);
  const grpc::Status status = call.Finish().status;
  EXPECT_EQ(status.error_code(), StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(status.error_message(), kCut);
}

class SlowReaderTest : public ServerTest {
 protected:
  void ServeWith(Duration write_timeout, Duration resume_window = Duration::zero()) {
    ServeOptions options;
    options.config.server.write_timeout = write_timeout;
    options.config.session.resume_window = resume_window;
    Serve(options);
    narrow = Narrow(target());
    slow_sessions = memo::v1::SessionService::NewStub(narrow);
    lab.On("large", [](Computing&) { return std::string(200'000, 'x'); });
  }
  testing::AssertionResult UnsentSoon(bool any) {
    return Soon([this] { return Gauges().unsent_bytes() > 0; }, any);
  }

  static std::multimap<std::string, std::string> Handle(const SessionHandle& session) {
    return {{"memo-session", session.handle()}};
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
  EXPECT_THAT(log, testing::HasSubstr("client does not read: its calls are cut peer=ipv4:"));
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

// Unary calls.

TEST_F(SlowReaderTest, UnaryAnswersAreCutWithoutALineOfTheLogForEach) {
  constexpr int kCalls = 200;
  ServeWith(kTimeout);
  const SessionHandle session = Open("a");
  EXPECT_EQ(Get(session, "x"), "miss a:x");
  InitLogging(LogLevel::warn, LogFormat::kText);
  testing::internal::CaptureStderr();
  const Time begin = Clock::now();
  std::deque<UnreadCall> calls;
  for (int i = 0; i < kCalls; ++i) {
    calls.emplace_back(narrow, kCompute, "x", Handle(session));
  }
  EXPECT_TRUE(Soon([&] { return CacheInfoOf(session, kCompute).hits(); }, kCalls));
  EXPECT_TRUE(Soon([this] { return Gauges().reactors(); }, 1)) << "the session's stream";
  EXPECT_GE(Clock::now() - begin, kTimeout);
  const std::string log = testing::internal::GetCapturedStderr();
  InitLogging(LogLevel::off, LogFormat::kText);
  EXPECT_THAT(log, testing::HasSubstr("client does not read: its calls are cut peer=ipv4:"));
  // One, if it did not look while they came in.
  EXPECT_LT(std::count(log.begin(), log.end(), '\n'), kCalls / 4) << log;
  for (UnreadCall& call : calls) ExpectCut(call);
  EXPECT_EQ(Get(session, "x"), "hit a:x") << "the session does not end with a call";
}

TEST_F(SlowReaderTest, AnswersAboutASessionAreCut) {
  ServeWith(kTimeout);
  const SessionHandle session = Open("a");
  UnreadCall about(narrow, "/memo.v1.SessionService/GetCacheInfo", kCompute, Handle(session));
  EXPECT_TRUE(UnsentSoon(true));
  EXPECT_TRUE(UnsentSoon(false));
  ExpectCut(about);
}

// Without a clock that cuts it, too.
TEST_F(SlowReaderTest, BytesOfUnaryAnswersAreCountedUntilTheyAreTaken) {
  ServeWith(Duration::zero());
  const SessionHandle session = Open("a");
  constexpr int64_t kBytes = 200'000;  // and what encodes them
  UnreadCall one(narrow, kCompute, "large", Handle(session));
  EXPECT_TRUE(UnsentSoon(true));
  const int64_t bytes = Gauges().unsent_bytes();
  EXPECT_GE(bytes, kBytes);
  EXPECT_LT(bytes, kBytes + 100);
  UnreadCall other(narrow, kCompute, "large", Handle(session));
  EXPECT_TRUE(Soon([this] { return Gauges().unsent_bytes(); }, 2 * bytes));
  EXPECT_TRUE(one.Read().has_value());
  EXPECT_TRUE(Soon([this] { return Gauges().unsent_bytes(); }, bytes));
  EXPECT_TRUE(other.Read().has_value());
  EXPECT_TRUE(UnsentSoon(false));
  EXPECT_TRUE(one.Finish().status.ok() && other.Finish().status.ok());
}

TEST_F(SlowReaderTest, LargeUnaryAnswerHasMoreTime) {
  ServeWith(kTimeout);
  const SessionHandle session = Open("a");
  lab.On("very large", [](Computing&) { return std::string(4'000'000, 'x'); });
  UnreadCall large(narrow, kCompute, "very large", Handle(session));
  UnreadCall small(narrow, kCompute, "x", Handle(session));
  EXPECT_TRUE(Soon([&] { return CacheInfoOf(session, kCompute).computations(); }, 2));
  EXPECT_TRUE(Soon([this] { return Gauges().reactors(); }, 2)) << "the session's stream, and one";
  ExpectCut(small);
  EXPECT_GT(large.Read().value_or("").size(), 4'000'000);
  EXPECT_TRUE(large.Finish().status.ok());
}

// As over a slow link: the last of them comes long after it would have been cut by itself.
TEST_F(SlowReaderTest, UnaryAnswersWaitForOneAnotherWhileTheClientReads) {
  constexpr int kCalls = 15;
  constexpr Duration kBetween = 4 * kTimeout * 2 / kCalls;  // twice the timeout, for all
  ServeWith(4 * kTimeout);
  const SessionHandle session = Open("a");
  lab.On("a look's", [](Computing&) { return std::string(WriteLooks::kBytes, 'x'); });
  std::deque<UnreadCall> calls;
  for (int i = 0; i < kCalls; ++i) {
    calls.emplace_back(narrow, kCompute, "a look's", Handle(session));
  }
  EXPECT_TRUE(Soon([this] { return Gauges().reactors(); }, kCalls + 1));
  Time next = Clock::now();
  for (UnreadCall& call : calls) {
    for (next += kBetween; Clock::now() < next;) Get(session, "x");
    EXPECT_TRUE(call.Read().has_value());
    EXPECT_TRUE(call.Finish().status.ok());
  }
}

TEST_F(SlowReaderTest, UnaryAnswersThatAreReadLateAreNotCut) {
  constexpr Duration kLong = 4 * kTimeout;
  ServeWith(kLong);
  const SessionHandle session = Open("a");
  EXPECT_EQ(Get(session, "x"), "miss a:x");
  // Long enough for several times the timeout, had they been one answer.
  for (const Time begin = Clock::now(); Clock::now() - begin < 2 * kLong;) {
    std::deque<UnreadCall> calls;
    for (int i = 0; i < 10; ++i) calls.emplace_back(narrow, kCompute, "x", Handle(session));
    for (const Time sent = Clock::now(); Clock::now() - sent < kLong / 4;) {
      EXPECT_EQ(Get(session, "x"), "hit a:x") << "others do not wait for these";
    }
    for (UnreadCall& call : calls) {
      EXPECT_TRUE(call.Read().has_value());
      EXPECT_TRUE(call.Finish().status.ok());
    }
  }
}

class SlowReaderOfUpstreamTest : public UpstreamTest {
 protected:
  static ServeOptions Options() {
    ServeOptions options;
    options.config.server.write_timeout = kTimeout;
    return options;
  }
};

TEST_F(SlowReaderOfUpstreamTest, AnswersToUnaryCallsThatPassAreCut) {
  ServeBefore({Remote()}, Options());
  const auto narrow = Narrow(target());
  UnreadCall registered(narrow, kRemote, "x");
  UnreadCall unregistered(narrow, kKnown, "x");
  EXPECT_TRUE(Soon([this] { return upstream.calls(kRemote) + upstream.calls(kKnown); }, 2));
  EXPECT_TRUE(AliveSoon("nothing"));
  ExpectCut(registered);
  ExpectCut(unregistered);
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
  Reaper reaper;
  std::atomic<int> looks = 0;
  std::counting_semaphore looks_of_another(0);
  const WriteClock clock(
      Duration::zero(),
      [&] {
        ++looks;
        return std::vector<StalledCall>();
      },
      reaper);
  // One with a timeout shows that there was time enough.
  const WriteClock another(
      milliseconds(1),
      [&] {
        looks_of_another.release();
        return std::vector<StalledCall>();
      },
      reaper);
  for (int i = 0; i < 20; ++i) looks_of_another.acquire();
  EXPECT_EQ(looks, 0);
}

}  // namespace
}  // namespace memod
