// PipelineService, spoken with the generated classes.
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "memod/tests/server/pipeline_fixture.h"
#include "memod/tests/testing/stream_call.h"

namespace memod {
namespace {

using memo::v1::CallRequest;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

class PipelineTest : public PipelineFixture {};

TEST_F(PipelineTest, ManyCallsInOneMessageAreEachAnswered) {
  Serve();
  const SessionHandle session = Open("a");
  RawPipeline pipeline = Pipeline(session);
  pipeline.Send(1, {"x", "y", "z"});
  EXPECT_EQ(pipeline.Words(1), "miss a:x");
  EXPECT_EQ(pipeline.Words(2), "miss a:y");
  EXPECT_EQ(pipeline.Words(3), "miss a:z");
  pipeline.Send(4, {"x", "new", "z"});
  EXPECT_EQ(pipeline.Words(4), "hit a:x");
  EXPECT_EQ(pipeline.Words(5), "miss a:new");
  EXPECT_EQ(pipeline.Words(6), "hit a:z");
  EXPECT_EQ(Info(session), "hits 2, misses 4, computations 4, currsize 4");
  pipeline.HalfClose();
  EXPECT_EQ(pipeline.End(), "OK");
}

TEST_F(PipelineTest, SlowMissHoldsUpNoHit) {
  Serve();
  const SessionHandle session = Open("a");
  Gated("slow");
  RawPipeline pipeline = Pipeline(session);
  EXPECT_EQ(pipeline.Get("x"), "miss a:x");
  pipeline.Send(1, {"slow", "x"});  // in one message
  EXPECT_EQ(pipeline.Words(2), "hit a:x");
  pipeline.Send(3, {"x", "y"});  // and in the next
  EXPECT_EQ(pipeline.Words(3), "hit a:x");
  EXPECT_EQ(pipeline.Words(4), "miss a:y");
  EXPECT_FALSE(pipeline.answers().contains(1));
  lab.gate("slow").Open();
  EXPECT_EQ(pipeline.Words(1), "miss a:slow");
}

TEST_F(PipelineTest, EveryControlDoesWhatItsWordDoes) {
  Serve();
  const SessionHandle session = Open("a");
  RawPipeline pipeline = Pipeline(session);
  EXPECT_EQ(pipeline.Get("x", memo::v1::CONTROL_ONLY_IF_CACHED), "FAILED_PRECONDITION NOT_CACHED");
  EXPECT_EQ(pipeline.Get("x", memo::v1::CONTROL_NO_STORE), "miss a:x");
  EXPECT_EQ(pipeline.Get("x", memo::v1::CONTROL_BYPASS), "bypass a:x");
  EXPECT_EQ(Info(session), "misses 2, computations 1, currsize 0");
  EXPECT_EQ(pipeline.Get("x"), "miss a:x");
  EXPECT_EQ(pipeline.Get("x", memo::v1::CONTROL_REFRESH), "miss a:x");
  EXPECT_EQ(pipeline.Get("x", memo::v1::CONTROL_ONLY_IF_CACHED), "hit a:x");
  EXPECT_EQ(pipeline.Get("x", memo::v1::CONTROL_NO_STORE), "hit a:x");
  EXPECT_EQ(Info(session), "hits 2, misses 3, computations 3, currsize 1");
  EXPECT_EQ(pipeline.Get("x", static_cast<memo::v1::Control>(17)), "INVALID_ARGUMENT BAD_REQUEST");
}

TEST_F(PipelineTest, HitMakesItsEntryTheMostRecent) {
  Serve(MaxEntries(2));
  const SessionHandle session = Open("a");
  RawPipeline pipeline = Pipeline(session);
  pipeline.Get("x");
  pipeline.Get("y");
  EXPECT_EQ(pipeline.Get("x"), "hit a:x");
  pipeline.Get("z");  // y goes
  EXPECT_EQ(pipeline.Get("x"), "hit a:x");
  EXPECT_EQ(pipeline.Get("y"), "miss a:y");
}

TEST_F(PipelineTest, ExpiredAnswerIsAMissAndAnExpiration) {
  Serve({.probe = {.compute = {.ttl = std::chrono::nanoseconds(1)}}});
  const SessionHandle session = Open("a");
  RawPipeline pipeline = Pipeline(session);
  pipeline.Get("x");
  EXPECT_EQ(pipeline.Get("x"), "miss a:x");
  EXPECT_THAT(Info(session), AllOf(StartsWith("misses 2"), HasSubstr("expirations 1")));
}

TEST_F(PipelineTest, RememberedErrorIsAHitAndOthersAreNot) {
  Serve({.probe = {.compute = {.negative = {{absl::StatusCode::kNotFound, std::nullopt}}}}});
  const SessionHandle session = Open("a");
  lab.On("gone", [](Computing&) -> absl::StatusOr<std::string> {
    absl::Status error = absl::NotFoundError("it is gone");
    error.SetPayload("type.googleapis.com/x.Y", absl::Cord("detail"));
    return error;
  });
  lab.On("far", [](Computing&) -> absl::StatusOr<std::string> {
    return absl::OutOfRangeError("too far \xff");
  });
  RawPipeline pipeline = Pipeline(session);
  pipeline.Send(1, {"gone"});
  EXPECT_EQ(pipeline.Words(1), "NOT_FOUND: it is gone");
  pipeline.Send(2, {"gone"});
  EXPECT_EQ(pipeline.Words(2), "NOT_FOUND: it is gone");
  const auto *miss = pipeline.Answer(1), *hit = pipeline.Answer(2);
  EXPECT_EQ(miss->cache(), memo::v1::CACHE_STATUS_UNSPECIFIED);
  EXPECT_EQ(hit->cache(), memo::v1::CACHE_STATUS_HIT);
  EXPECT_EQ(hit->error().details(), miss->error().details());
  EXPECT_THAT(hit->error().details(), HasSubstr("detail"));
  EXPECT_EQ(pipeline.Get("far"), "OUT_OF_RANGE: too far \\xff");  // still UTF-8
  EXPECT_EQ(Info(session), "hits 1, misses 2, computations 2, errors 2, currsize 1");
}

TEST_F(PipelineTest, EqualCallsShareAComputationWithUnaryOnesToo) {
  Serve();
  const SessionHandle session = Open("a");
  Gated("slow");
  Call& unary = Start(session, "slow");
  ASSERT_TRUE(lab.gate("slow").AwaitArrived());
  RawPipeline pipeline = Pipeline(session);
  pipeline.Send(1, {"slow", "slow", "now"});
  EXPECT_EQ(pipeline.Words(3), "miss a:now");
  lab.gate("slow").Open();
  EXPECT_EQ(pipeline.Words(1), "coalesced a:slow");
  EXPECT_EQ(pipeline.Words(2), "coalesced a:slow");
  EXPECT_EQ(unary.Words(), "miss a:slow");
  EXPECT_EQ(lab.computed("slow"), 1);
}

TEST_F(PipelineTest, MetadataInTheKeyIsThatOfTheStream) {
  Serve({.probe = {.compute = {.key_metadata = {"x-tenant"}}}});
  const SessionHandle session = Open("a");
  RawPipeline one(client->channel(), session.handle(), {{"x-tenant", "1"}});
  RawPipeline two(client->channel(), session.handle(), {{"x-tenant", "2"}});
  EXPECT_EQ(one.Get("x"), "miss a:x");
  EXPECT_EQ(two.Get("x"), "miss a:x");
  EXPECT_EQ(one.Get("x"), "hit a:x");
  EXPECT_EQ(Ask(session.handle(), Request("x"), {.metadata = {{"x-tenant", "2"}}}).Words(),
            "hit a:x");
}

TEST_F(PipelineTest, WithoutASessionThereAreMethodsInServerScope) {
  Serve();
  RawPipeline pipeline(client->channel(), std::nullopt);
  EXPECT_EQ(pipeline.Get("x", memo::v1::CONTROL_UNSPECIFIED, 3), "miss x");
  EXPECT_EQ(pipeline.Get("x", memo::v1::CONTROL_UNSPECIFIED, 3), "hit x");
  EXPECT_EQ(pipeline.Get("x"), "FAILED_PRECONDITION SESSION_REQUIRED");
  RawPipeline unknown(client->channel(), "no-such-handle");
  EXPECT_EQ(unknown.Get("x", memo::v1::CONTROL_UNSPECIFIED, 3), "NOT_FOUND SESSION_NOT_FOUND");
}

TEST_F(PipelineTest, MethodsOfBothScopesAndErrorsGoInOneMessage) {
  Serve();
  const SessionHandle session = Open("a");
  RawPipeline pipeline = Pipeline(session);
  for (const char* cache : {"miss", "hit"}) {
    CallRequest message;
    const uint64_t base = cache[0] == 'm' ? 0 : 100;
    for (uint64_t i = 0; i < 30; ++i) {
      AddCall(message, base + i, "k" + std::to_string(i), static_cast<uint32_t>(i % 5));
    }
    pipeline.Send(message);
    for (uint64_t i = 0; i < 30; ++i) {
      const std::string key = "k" + std::to_string(i);
      const std::string want[] = {"INVALID_ARGUMENT BAD_REQUEST", cache + (" a:" + key),
                                  cache + (" a:" + key), cache + (" " + key),
                                  "INVALID_ARGUMENT BAD_REQUEST"};
      EXPECT_EQ(pipeline.Words(base + i), want[i % 5]);
    }
  }
}

TEST_F(PipelineTest, MethodIsBoundBeforeTheCallsOfItsMessageAndCanBeBoundAnew) {
  Serve();
  const SessionHandle session = Open("a");
  RawPipeline pipeline = Pipeline(session);
  EXPECT_EQ(pipeline.Get("x", memo::v1::CONTROL_UNSPECIFIED, 9), "INVALID_ARGUMENT BAD_REQUEST");
  CallRequest message;
  AddCall(message, 1, "x", 9);
  message.add_methods()->set_number(9);
  message.mutable_methods(0)->set_name("/pass.Through/Unmemoized");
  pipeline.Send(message);
  EXPECT_THAT(pipeline.Words(1), AllOf(StartsWith("UNIMPLEMENTED: no memoized method"),
                                       HasSubstr("\"/pass.Through/Unmemoized\"")));
  message.mutable_methods(0)->set_name(kCompute);
  message.mutable_calls(0)->set_id(2);
  pipeline.Send(message);
  EXPECT_EQ(pipeline.Words(2), "miss a:x");
}

TEST_F(PipelineTest, RequestOverTheLimitIsRefusedByItself) {
  ServeOptions options;
  options.config.server.max_request_bytes = 100;
  Serve(options);
  const SessionHandle session = Open("a");
  RawPipeline pipeline = Pipeline(session);
  pipeline.Send(1, {"x", std::string(200, 'k'), "y"});
  EXPECT_EQ(pipeline.Words(1), "miss a:x");
  EXPECT_EQ(pipeline.Words(2), "RESOURCE_EXHAUSTED LIMIT");
  EXPECT_THAT(pipeline.Answer(2)->error().message(),
              HasSubstr("limit 100 (server.max_request_bytes)"));
  EXPECT_EQ(pipeline.Words(3), "miss a:y");
}

TEST_F(PipelineTest, IdOfAWaitingCallIsTaken) {
  Serve();
  const SessionHandle session = Open("a");
  Gated("slow");
  RawPipeline pipeline = Pipeline(session);
  pipeline.Send(7, {"slow"});
  pipeline.Send(7, {"other"});
  EXPECT_EQ(pipeline.Words(7), "INVALID_ARGUMENT BAD_REQUEST");
  EXPECT_EQ(lab.computed("other"), 0);
  lab.gate("slow").Open();
}

TEST_F(PipelineTest, MalformedMessageEndsTheStream) {
  Serve();
  const SessionHandle session = Open("a");
  Gated("slow");
  StreamCall stream(client->channel(), "/memo.v1.PipelineService/Call",
                    {.metadata = {{"memo-session", session.handle()}}});
  stream.Write("\x12\x7f");
  const Told told = stream.Finish();
  EXPECT_EQ(told.Words(), "INVALID_ARGUMENT BAD_REQUEST");
  EXPECT_THAT(told.status.error_message(), HasSubstr("memo.v1.CallRequest"));

  RawPipeline numbers = Pipeline(session);
  CallRequest message;
  message.add_methods()->set_number(1024);
  numbers.Send(message);
  EXPECT_EQ(numbers.End(), "INVALID_ARGUMENT BAD_REQUEST");
  RawPipeline control(client->channel(), session.handle(), {{"memo-control", "bypass"}});
  EXPECT_EQ(control.End(), "INVALID_ARGUMENT BAD_REQUEST");
}

TEST_F(PipelineTest, HalfCloseIsAnsweredInFull) {
  Serve();
  const SessionHandle session = Open("a");
  Gated("slow");
  RawPipeline pipeline = Pipeline(session);
  pipeline.Send(1, {"slow", "x"});
  pipeline.HalfClose();
  ASSERT_TRUE(lab.gate("slow").AwaitArrived());
  lab.gate("slow").Open();
  EXPECT_EQ(pipeline.Words(1), "miss a:slow");
  EXPECT_EQ(pipeline.Words(2), "miss a:x");
  EXPECT_EQ(pipeline.End(), "OK");
}
}  // namespace
}  // namespace memod
