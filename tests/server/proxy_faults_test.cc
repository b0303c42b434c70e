// What goes wrong at an upstream: the caller gets the right status, nothing is stored, nothing is
// left over, and calls flow again when it is over.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "absl/strings/str_cat.h"
#include "memod/tests/testing/upstream_test.h"

namespace memod {
namespace {

using grpc::StatusCode;
using std::chrono::milliseconds;
using testing::HasSubstr;

// How a call comes to the upstream.
enum class Way { kStream, kKnown, kUnary, kMemoized };

// What may go wrong.
struct Trouble {
  std::string name;
  std::function<void(UpstreamCall&, FakeUpstream&)> script;
  StatusCode code;
};

std::ostream& operator<<(std::ostream& out, const Trouble& trouble) { return out << trouble.name; }

class ProxyFaultsTest : public UpstreamTest {
 protected:
  // One call without a session; its deadline only where it has to come to that.
  Told Try(Way way, milliseconds deadline = kPatience) {
    return Ask(std::nullopt, Request("x"), {.method = kMethods[int(way)], .deadline = deadline});
  }
  // A method of each way.
  static std::vector<MethodConfig> Methods() { return {Public(), Remote(nullptr, kPassed)}; }
  void OnAll(const FakeUpstream::Script& script) {
    for (const char* method : kMethods) upstream.On(method, script);
  }
  // Whether calls come to be answered.
  testing::AssertionResult FlowsSoon(Way way) {
    return Soon([&] { return Try(way).status.error_code(); }, StatusCode::OK);
  }

  static constexpr char kPassed[] = "/upstream.v1.Plain/Passed";
  static constexpr Way kWays[] = {Way::kStream, Way::kKnown, Way::kUnary, Way::kMemoized};
  static constexpr const char* kMethods[] = {kEcho, kKnown, kPassed, kRemote};
};

class TroubleTest : public ProxyFaultsTest, public testing::WithParamInterface<Trouble> {};

const Trouble kTroubles[] = {
    {"Resets",
     [](UpstreamCall& call, FakeUpstream& upstream) {
       call.Read();
       upstream.wire->Reset();
     },
     StatusCode::UNAVAILABLE},
    {"DiesMidAnswer",
     [](UpstreamCall& call, FakeUpstream& upstream) {
       call.Read();
       call.SendMetadata({{"x-a", "1"}});
       upstream.wire->Reset();
     },
     StatusCode::UNAVAILABLE},
    {"DiesAfterAMessage",
     [](UpstreamCall& call, FakeUpstream& upstream) {
       call.Read();
       call.Write("x");
       upstream.wire->Reset();
     },
     StatusCode::UNAVAILABLE},
    {"TurnsToGarbage",
     [](UpstreamCall& call, FakeUpstream& upstream) {
       call.Read();
       upstream.wire->Garble();
     },
     StatusCode::UNKNOWN},  // gRPC's own word for it
    {"AnswersAndFails",
     [](UpstreamCall& call, FakeUpstream&) {
       call.Read();
       call.Write("x");
       call.Finish(grpc::Status(StatusCode::DATA_LOSS, "half of it"));
     },
     StatusCode::DATA_LOSS},
};

TEST_P(TroubleTest, IsToldAndNothingIsStored) {
  ServeBefore(Methods());
  OnAll([this](UpstreamCall& call) { GetParam().script(call, upstream); });
  for (const Way way : kWays) {
    const Told told = Try(way);
    EXPECT_EQ(told.status.error_code(), GetParam().code) << told.status.error_message();
    EXPECT_FALSE(told.status.error_message().empty());
    EXPECT_TRUE(AliveSoon("nothing"));
    // It may be that it is told only now that the connection has ended.
    OnAll(Echo);
    EXPECT_TRUE(FlowsSoon(way));
    OnAll([this](UpstreamCall& call) { GetParam().script(call, upstream); });
    memo::v1::AdminServiceClearCacheResponse cleared;
    grpc::ClientContext context;
    EXPECT_TRUE(admin->ClearCache(&context, {}, &cleared).ok());
  }
}

INSTANTIATE_TEST_SUITE_P(, TroubleTest, testing::ValuesIn(kTroubles),
                         [](const auto& info) { return info.param.name; });

// A stream of no messages is fine; a unary call has to have one.
TEST_F(ProxyFaultsTest, OkWithoutAnAnswerIsNone) {
  ServeBefore(Methods());
  OnAll(EndWith(grpc::Status::OK, {{"x-a", "1"}}));
  EXPECT_TRUE(Try(Way::kStream).status.ok());
  for (const Way way : {Way::kKnown, Way::kUnary, Way::kMemoized}) {
    const Told told = Try(way);
    EXPECT_EQ(told.Words(), "UNIMPLEMENTED: upstream slow said OK without an answer");
    EXPECT_EQ(told.Trailer("x-a"), "1");
  }
  EXPECT_TRUE(AliveSoon("nothing"));
}

// A client that half-closes, or is gone, before it has sent a message.
TEST_F(ProxyFaultsTest, UnaryCallWithoutAMessageReachesNoUpstream) {
  ServeBefore(Methods());
  OnAll(Echo);
  for (const char* method : {kKnown, kPassed, kRemote}) {
    StreamCall call(through(), method);
    call.HalfClose();
    EXPECT_EQ(call.Read(), std::nullopt);
    EXPECT_EQ(call.Finish().Words(), "INTERNAL: the call ended without a request message");
    EXPECT_EQ(upstream.calls(method), 0);
  }
  EXPECT_TRUE(AliveSoon("nothing"));
}

TEST_F(ProxyFaultsTest, StreamThatDiesHasDeliveredWhatCameBefore) {
  ServeBefore();
  upstream.On(kEcho, [this](UpstreamCall& call) {
    for (const char* word : {"1", "2"}) call.Write(word);
    call.Read();
    upstream.wire->Reset();
  });
  StreamCall call(through(), kEcho);
  EXPECT_EQ(call.Read(), "1");
  EXPECT_EQ(call.Read(), "2");
  call.Write("die");
  EXPECT_EQ(call.Read(), std::nullopt);
  EXPECT_EQ(call.Finish().status.error_code(), StatusCode::UNAVAILABLE);
}

TEST_F(ProxyFaultsTest, UpstreamThatNeverAnswersIsLeftAtTheCallersDeadline) {
  ServeBefore(Methods());
  OnAll(NeverAnswer);
  for (const Way way : kWays) {
    EXPECT_EQ(Try(way, milliseconds(50)).status.error_code(), StatusCode::DEADLINE_EXCEEDED);
    EXPECT_TRUE(InProgressSoon(0));
    EXPECT_TRUE(AliveSoon("nothing"));
  }
}

// With the upstream's host off the network nothing comes, no reset either.
TEST_F(ProxyFaultsTest, UpstreamThatFallsSilentIsFoundByKeepalive) {
  ServeOptions options;
  UpstreamConfig& config = options.config.upstreams.emplace_back();
  config.name = "pinged";
  config.where = "memod.toml:1";
  config.target = upstream.target();
  config.keepalive_time = config.keepalive_timeout = milliseconds(200);
  config.methods = Methods();
  Serve(options);
  for (const Way way : kWays) {
    OnAll([this](UpstreamCall& call) {
      call.Read();
      upstream.wire->Swallow();
      call.AwaitCancelled();
    });
    const Told told = Try(way);
    EXPECT_EQ(told.status.error_code(), StatusCode::UNAVAILABLE) << told.status.error_message();
    EXPECT_TRUE(AliveSoon("nothing"));
    upstream.wire->Reset();  // for its side to be done with it
    OnAll(Echo);
    EXPECT_TRUE(FlowsSoon(way));
    memo::v1::AdminServiceClearCacheResponse cleared;
    grpc::ClientContext context;
    EXPECT_TRUE(admin->ClearCache(&context, {}, &cleared).ok());
  }
}

// Connections

class ConnectionTest : public ProxyFaultsTest, public testing::WithParamInterface<Fault> {};

TEST_P(ConnectionTest, ThatCannotBeMadeIsUnavailableAndNamesTheUpstreamUntilItCan) {
  upstream.wire->Set(GetParam());
  ServeBefore(Methods());
  for (const Way way : kWays) {
    ASSERT_TRUE(Soon([&] { return Try(way).Words(); }, "UNAVAILABLE UPSTREAM"));
    EXPECT_THAT(Try(way).status.error_message(),
                HasSubstr(absl::StrCat("upstream slow (", upstream.target(), "): ")));
  }
  EXPECT_TRUE(AliveSoon("nothing"));
  EXPECT_EQ(upstream.calls(), 0);
  upstream.wire->Set(Fault::kNone);
  for (const Way way : kWays) EXPECT_TRUE(FlowsSoon(way));
}

INSTANTIATE_TEST_SUITE_P(, ConnectionTest,
                         testing::Values(Fault::kRefuse, Fault::kReset, Fault::kGarbage),
                         [](const auto& info) {
                           return info.param == Fault::kRefuse  ? "Refused"
                                  : info.param == Fault::kReset ? "Reset"
                                                                : "Garbage";
                         });

TEST_F(ProxyFaultsTest, UpstreamThatNeverSaysHelloIsLeftAtTheCallersDeadline) {
  upstream.wire->Set(Fault::kSilence);
  ServeBefore(Methods());
  for (const Way way : kWays) {
    EXPECT_EQ(Try(way, milliseconds(50)).status.error_code(), StatusCode::DEADLINE_EXCEEDED);
  }
}

TEST_F(ProxyFaultsTest, UpstreamThatIsFarAwayIsReachedAtTheFirstAttempt) {
  upstream.wire->Set(Fault::kFar);
  ServeBefore(Methods());
  for (const Way way : kWays) EXPECT_EQ(Try(way).status.error_message(), "");
}

TEST_F(ProxyFaultsTest, UpstreamThatIsDownLeavesWhatIsStored) {
  ServeBefore(Methods());
  const SessionHandle session = Open("a");
  EXPECT_EQ(AskRemote("x").Words(), "miss x");
  upstream.wire->Set(Fault::kRefuse);
  EXPECT_EQ(AskRemote("x").Words(), "hit x");
  ASSERT_TRUE(Soon([&] { return AskRemote("y").Words(); }, "UNAVAILABLE UPSTREAM"));
  EXPECT_EQ(AskRemote("x").Words(), "hit x");
  EXPECT_EQ(AskRemote("x", {.control = "refresh"}).Words(), "UNAVAILABLE UPSTREAM");
  EXPECT_EQ(AskRemote("x").Words(), "hit x");
  EXPECT_EQ(Get(session, "z"), "miss a:z") << "what is hosted does not care";
  upstream.wire->Set(Fault::kNone);
  EXPECT_TRUE(Soon([&] { return AskRemote("y").Words(); }, "miss y"));
}

TEST_F(ProxyFaultsTest, UpstreamThatIsDownIsStoodInForByWhatExpiredNotLongAgo) {
  ServeBefore({Public([](MethodConfig& m) {
    m.ttl = std::optional<Duration>(std::chrono::milliseconds(1));
    m.stale_if_error = std::optional<Duration>(std::chrono::hours(1));
  })});
  EXPECT_EQ(AskRemote("x").Words(), "miss x");
  upstream.wire->Set(Fault::kRefuse);
  ASSERT_TRUE(Soon([&] { return AskRemote("y").Words(); }, "UNAVAILABLE UPSTREAM"));
  ASSERT_TRUE(Soon([&] { return AskRemote("x").Words(); }, "stale x"));
  EXPECT_FALSE(AskRemote("x").Metadata("memo-age").empty());
  EXPECT_EQ(AskRemote("x", {.control = "bypass"}).Words(), "UNAVAILABLE UPSTREAM");
  EXPECT_EQ(AskRemote("x", {.control = "only-if-cached"}).Words(),
            "FAILED_PRECONDITION NOT_CACHED");
}

TEST_F(ProxyFaultsTest, AllWhoWaitAreToldThatTheUpstreamIsGone) {
  ServeBefore({Remote()});
  OnRemote("x", NeverAnswer);
  const SessionHandle session = Open("a");
  const auto calls = StartMany(session, "x", 5, {.method = kRemote});
  ASSERT_TRUE(InProgressSoon(1));
  upstream.wire->Set(Fault::kRefuse);
  for (Call* call : calls) {
    EXPECT_EQ(call->Wait().status.error_code(), StatusCode::UNAVAILABLE);
  }
  EXPECT_EQ(Info(session, kRemote), "misses 5, coalesced 4, computations 1, errors 1, currsize 0");
}

// Its own word for it, which is not memod's to change.
TEST_F(ProxyFaultsTest, UpstreamThatSaysItIsUnavailableIsQuoted) {
  ServeBefore(Methods());
  const auto busy = EndWith(grpc::Status(StatusCode::UNAVAILABLE, "busy", "why"), {{"x-a", "1"}});
  OnAll(busy);
  for (const Way way : kWays) {
    const Told told = Try(way);
    EXPECT_EQ(told.Words(), "UNAVAILABLE: busy");
    EXPECT_EQ(told.status.error_details(), "why");
    EXPECT_EQ(told.Trailer("x-a"), "1");
  }
}

}  // namespace
}  // namespace memod
