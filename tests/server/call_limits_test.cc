// Limits on calls in flight, those that wait for one computation, and a call's metadata: at the limit
// all is well; one more is RESOURCE_EXHAUSTED, saying which limit and how much there was of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "memod/tests/server/pipeline_fixture.h"
#include "memod/tests/testing/opening.h"

namespace memod {
namespace {

constexpr char kRefused[] = "RESOURCE_EXHAUSTED LIMIT";

class CallLimitsTest : public PipelineFixture {
 protected:
  void ServeLimited(const std::function<void(Config&)>& limit) {
    ServeOptions options;
    limit(options.config);
    Serve(options);
    Gated("busy");
    Gated("busy too");
  }
  // What is said of a call that is refused.
  std::string Refusal(const std::optional<std::string>& handle, const std::string& key,
                      const CallOptions& options = {}) {
    const Told told = Ask(handle, Request(key), options);
    EXPECT_EQ(told.Words(), kRefused);
    return told.status.error_message();
  }
  void ReleaseAll() {
    lab.gate("busy").Open();
    lab.gate("busy too").Open();
  }
};

TEST_F(CallLimitsTest, CallsInFlight) {
  ServeLimited([](Config& config) { config.server.max_calls = 3; });
  const SessionHandle session = Open("a"), other = Open("b");
  EXPECT_EQ(Get(session, "known"), "miss a:known");
  Call& first = Start(session, "busy");
  ASSERT_TRUE(lab.gate("busy").AwaitArrived());
  Call& second = *StartMany(session, "busy", 1)[0];
  Call& third = *StartMany(other, "busy too", 1)[0];

  const std::string full = "too many calls: 3 are in flight, limit 3 (server.max_calls)";
  EXPECT_EQ(Refusal(session.handle(), "busy"), full) << "nor may it join";
  EXPECT_EQ(Refusal(other.handle(), "new"), full);
  EXPECT_EQ(Refusal(other.handle(), "new", {.control = "bypass"}), full);
  EXPECT_EQ(Refusal(std::nullopt, "new", {.method = kShared}), full);
  EXPECT_EQ(Pipeline(session).Get("new"), kRefused);
  EXPECT_EQ(Get(session, "known"), "hit a:known") << "which waits for nothing";
  EXPECT_EQ(Get(session, "new", {.control = "only-if-cached"}), "FAILED_PRECONDITION NOT_CACHED");
  EXPECT_EQ(lab.computed("new"), 0);

  ReleaseAll();
  EXPECT_EQ(first.Words(), "miss a:busy");
  EXPECT_EQ(second.Words(), "coalesced a:busy");
  EXPECT_EQ(third.Words(), "miss b:busy too");
  EXPECT_EQ(Get(other, "new"), "miss b:new");
}

TEST_F(CallLimitsTest, CallsInFlightOfASession) {
  ServeLimited([](Config& config) { config.session.max_calls = 2; });
  const SessionHandle session = Open("a"), other = Open("b");
  RawPipeline pipeline = Pipeline(session);
  ASSERT_TRUE(pipeline.Send(1, {"busy"}));
  Call& second =
      Start(session, "busy", {.method = kShared});  // shared by all, asked for by this one
  ASSERT_TRUE(lab.gate("busy").AwaitArrived(2));

  const std::string full =
      "too many calls of this session: 2 are in flight, limit 2 "
      "(session.max_calls)";
  EXPECT_EQ(Refusal(session.handle(), "new"), full);
  EXPECT_EQ(Refusal(session.handle(), "new", {.method = kShared}), full);
  EXPECT_EQ(pipeline.Get("new"), kRefused);
  EXPECT_EQ(Get(other, "new"), "miss b:new") << "another session";
  EXPECT_EQ(Ask(std::nullopt, Request("new"), {.method = kShared}).Words(), "miss new");

  ReleaseAll();
  EXPECT_EQ(pipeline.Words(1), "miss a:busy");
  EXPECT_EQ(second.Words(), "miss :busy");
  EXPECT_EQ(Get(session, "new"), "miss a:new");
  pipeline.HalfClose();
  EXPECT_EQ(pipeline.End(), "OK");
}

TEST_F(CallLimitsTest, NestedCallsAreTheirCallersPlace) {
  ServeLimited([](Config& config) { config.server.max_calls = 1; });
  const SessionHandle session = Open("a");
  lab.On("outer", [](Computing& computing) { return computing.Compute("inner"); });
  EXPECT_EQ(Get(session, "outer"), "miss a:inner");
}

// However a call ends, the next one finds its place free.
TEST_F(CallLimitsTest, PlaceIsFreeWhenTheCallHasEnded) {
  ServeLimited([](Config& config) { config.server.max_calls = 1; });
  std::optional<SessionHandle> session = Open("a");
  lab.On("fails", [](Computing&) { return absl::OutOfRangeError("never"); });
  RawPipeline pipeline = Pipeline(*session);
  for (int i = 0; i < 200; ++i) {
    const std::string key = absl::StrCat("key ", i);
    ASSERT_EQ(Get(*session, key), "miss a:" + key);
    ASSERT_EQ(pipeline.Get("p" + key), "miss a:p" + key);
    ASSERT_EQ(Get(*session, "fails"), "OUT_OF_RANGE: never");
  }
  // Given up by its caller, and aborted with its session.
  Call& left = Start(*session, "busy");
  ASSERT_TRUE(lab.gate("busy").AwaitArrived());
  left.Cancel();
  EXPECT_EQ(left.Wait().status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(Soon([&] { return Get(*session, "after it"); }, "miss a:after it"));
  Call& aborted = Start(*session, "busy too");
  ASSERT_TRUE(lab.gate("busy too").AwaitArrived());
  ASSERT_TRUE(session->Close().ok());
  EXPECT_EQ(aborted.Words(), "ABORTED SESSION_CLOSED");
  EXPECT_EQ(Get(Open("b"), "new"), "miss b:new");
}

TEST_F(CallLimitsTest, WaitersOfOneComputation) {
  ServeLimited([](Config& config) { config.compute.max_waiters = 3; });
  const SessionHandle session = Open("a");
  Call& first = Start(session, "busy");
  ASSERT_TRUE(lab.gate("busy").AwaitArrived());
  const std::vector<Call*> joined = StartMany(session, "busy", 2);
  const std::string full =
      absl::StrCat(kCompute, ": 3 calls wait for this computation, limit 3 (compute.max_waiters)");
  EXPECT_EQ(Refusal(session.handle(), "busy"), full);
  EXPECT_EQ(Pipeline(session).Get("busy"), kRefused);
  EXPECT_EQ(Get(session, "new"), "miss a:new") << "another computation";
  EXPECT_EQ(Info(session), "misses 6, coalesced 2, computations 2, currsize 1");
  // One leaves, another may come.
  joined[0]->Cancel();
  joined[0]->Wait();
  Call* next = nullptr;
  const auto coalesced_with_next = [&] {
    next = StartMany(session, "busy", 1)[0];
    return CacheInfoOf(session, kCompute).coalesced();
  };
  EXPECT_TRUE(Soon(coalesced_with_next, 3));
  ReleaseAll();
  EXPECT_EQ(first.Words(), "miss a:busy");
  EXPECT_EQ(joined[1]->Words(), "coalesced a:busy");
  EXPECT_EQ(next->Words(), "coalesced a:busy");
  EXPECT_EQ(lab.computed("busy"), 1);
}

// --- metadata ---

class MetadataLimitTest : public CallLimitsTest {
 protected:
  static constexpr size_t kLimit = 2000;

  void SetUp() override {
    ServeLimited([](Config& config) { config.server.max_metadata_bytes = kLimit; });
  }
  static Metadata Filled(size_t size) { return {{"x-fill", std::string(size, 'x')}}; }
  static std::string Said(size_t bytes) {
    return absl::StrCat("the call's metadata is ", bytes, " bytes, limit ", kLimit,
                        " (server.max_metadata_bytes)");
  }
  // How large a value of x-fill makes a call's metadata be just the limit, by what is said of one
  // that is too large.
  static size_t AtLimit(const std::function<std::string(size_t size)>& refusal) {
    const std::string said = refusal(kLimit);
    size_t bytes = 0;
    const std::string_view number =
        std::string_view(said).substr(sizeof("the call's metadata is ") - 1);
    EXPECT_TRUE(absl::SimpleAtoi(std::string(number.substr(0, number.find(' '))), &bytes)) << said;
    EXPECT_EQ(said, Said(bytes));
    return kLimit - (bytes - kLimit);
  }
};

TEST_F(MetadataLimitTest, OfACall) {
  const SessionHandle session = Open("a");
  const auto ask = [&](size_t size) {
    return Ask(session.handle(), Request("k"), {.metadata = {Filled(size)[0]}});
  };
  const size_t fits = AtLimit([&](size_t size) { return ask(size).status.error_message(); });
  EXPECT_EQ(ask(fits).Words(), "miss a:k");
  EXPECT_EQ(ask(fits).Words(), "hit a:k");
  EXPECT_EQ(ask(fits + 1).Words(), kRefused) << "also where it would be a hit";
  EXPECT_EQ(ask(fits + 1).status.error_message(), Said(kLimit + 1));
}

TEST_F(MetadataLimitTest, OfAPipeline) {
  const SessionHandle session = Open("a");
  EXPECT_EQ(RawPipeline(client->channel(), session.handle(), Filled(kLimit)).End(), kRefused);
  RawPipeline fits(client->channel(), session.handle(), Filled(kLimit / 2));
  EXPECT_EQ(fits.Get("k"), "miss a:k");
}

TEST_F(MetadataLimitTest, OfAnOpening) {
  const auto refusal = [&](size_t size) {
    Opening opening(*sessions, State("a"), Filled(size));
    EXPECT_EQ(opening.handle(), "");
    return opening.Wait().error_message();
  };
  const size_t fits = AtLimit(refusal);
  EXPECT_EQ(refusal(fits + 1), Said(kLimit + 1));
  Opening opening(*sessions, State("a"), Filled(fits));
  EXPECT_NE(opening.handle(), "");
}

TEST_F(MetadataLimitTest, OfARenewal) {
  memo::v1::LeaseSessionRequest lease;
  lease.mutable_ttl()->set_seconds(3600);
  memo::v1::LeaseSessionResponse leased;
  grpc::ClientContext leasing;
  ASSERT_TRUE(sessions->LeaseSession(&leasing, lease, &leased).ok());
  memo::v1::RenewSessionRequest many;
  many.add_handles(leased.handle());
  for (const bool own : {false, true}) {
    const auto renew = [&](size_t size) {
      grpc::ClientContext context;
      context.AddMetadata("x-fill", std::string(size, 'x'));
      if (own) context.AddMetadata("memo-session", leased.handle());
      memo::v1::RenewSessionResponse response;
      return sessions->RenewSession(&context, many, &response).error_message();
    };
    const size_t fits = AtLimit(renew);
    EXPECT_EQ(renew(fits), "");
    EXPECT_EQ(renew(fits + 1), Said(kLimit + 1));
  }
  grpc::ClientContext closing;
  closing.AddMetadata("memo-session", leased.handle());
  memo::v1::CloseSessionResponse closed;
  EXPECT_TRUE(sessions->CloseSession(&closing, {}, &closed).ok());
}

// What is far larger gRPC refuses, and may end the connection that it came on.
TEST_F(MetadataLimitTest, FarBeyondItNoOtherConnectionIsTouched) {
  const SessionHandle session = Open("a");
  for (const size_t size : {size_t{100'000}, size_t{1'000'000}}) {
    grpc::ChannelArguments own;
    own.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    const auto channel =
        grpc::CreateCustomChannel(target(), grpc::InsecureChannelCredentials(), own);
    Call call(channel, session.handle(), Request("k"), {.metadata = {Filled(size)[0]}});
    EXPECT_FALSE(call.Wait().status.ok());
  }
  EXPECT_EQ(lab.computed("k"), 0);
  EXPECT_EQ(Get(session, "k"), "miss a:k");
}

}  // namespace
}  // namespace memod
