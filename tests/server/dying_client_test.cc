// Clients that die, each at the worst of moments: their connection is reset, as the system does for
// a process that crashed. tests/README.md lists all the other ways.
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "memod/tests/testing/holding.h"
#include "memod/tests/testing/opening.h"
#include "memod/tests/testing/raw_pipeline.h"
#include "memod/tests/testing/server_test.h"
#include "memod/tests/testing/wire.h"

namespace memod {
namespace {

// From the reset on, of what takes a few milliseconds where nobody else works.
constexpr std::chrono::seconds kReleasedWithin(2);

class DyingClientTest : public ServerTest {
 protected:
  void ServeThem(const ServeOptions& options = {}) {
    Serve(options);
    lab.On("slow", [this](Computing& c) -> absl::StatusOr<std::string> {
      lab.gate("slow").Pass();
      return c.self + ":slow";
    });
    lab.On("endless", [this](Computing& c) -> absl::StatusOr<std::string> {
      lab.gate("endless").Pass();
      EXPECT_TRUE(c.AwaitCancelled());
      return absl::CancelledError();
    });
    lab.gate("endless").Open();
    lab.OnOpen("next", [this] {
      lab.gate("next").Pass();
      return absl::OkStatus();
    });
    Connect();
  }
  // The client, which is yet to live.
  void Connect(grpc::ChannelArguments arguments = {}) {
    wire.emplace(server->port());
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    dying = grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", wire->port()),
                                      grpc::InsecureChannelCredentials(), arguments);
    dying_sessions = memo::v1::SessionService::NewStub(dying);
  }
  void Die() {
    wire->Set(Fault::kRefuse);  // and it does not come back
    died_at = Clock::now();
  }
  void ExpectSoon(const std::string& in_full) {
    EXPECT_TRUE(Soon([this] { return AliveInFull(); }, in_full));
  }
  // What is left of it, and of all others.
  void ExpectSoonAfterDeath(const std::string& in_full) {
    ExpectSoon(in_full);
    EXPECT_LT(Clock::now() - died_at, kReleasedWithin);
  }
  std::future<grpc::Status> UpdateDying(const std::string& handle) {
    return std::async(std::launch::async, [this, handle] {
      grpc::ClientContext context;
      context.AddMetadata("memo-session", handle);
      memo::v1::UpdateStateRequest request;
      request.mutable_state()->PackFrom(State("next"));
      memo::v1::UpdateStateResponse response;
      return dying_sessions->UpdateState(&context, request, &response);
    });
  }

  std::optional<Wire> wire;
  std::shared_ptr<grpc::Channel> dying;
  std::unique_ptr<memo::v1::SessionService::Stub> dying_sessions;
  Time died_at;
};

TEST_F(DyingClientTest, MidCall) {
  ServeThem();
  Opening opening(*dying_sessions, State("a"));
  Call call(dying, opening.handle(), Request("endless"));
  ASSERT_TRUE(lab.gate("endless").AwaitArrived());
  ExpectSoon(
      "sessions 1, instances 1, flights 1, holders 1, incarnations 1, waiters 1, timers 1, "
      "reactors 2, calls 1");
  Die();
  ExpectSoonAfterDeath("nothing");
  EXPECT_EQ(call.Wait().status.error_code(), grpc::StatusCode::UNAVAILABLE);
}

// The computation that it began goes on for those who joined it.
TEST_F(DyingClientTest, MidFlightOthersWhoWaitGetTheirAnswer) {
  ServeThem();
  const SessionHandle session = Open("a");
  Call first(dying, session.handle(), Request("slow"));
  ASSERT_TRUE(lab.gate("slow").AwaitArrived());
  Call& joined = Start(session, "slow");
  EXPECT_TRUE(Soon([this] { return Gauges().waiters(); }, 2));
  Die();
  ExpectSoonAfterDeath(
      "sessions 1, instances 1, flights 1, holders 1, incarnations 1, waiters 1, timers 1, "
      "reactors 2, calls 1");
  lab.gate("slow").Open();
  EXPECT_EQ(joined.Words(), "coalesced a:slow");
  EXPECT_EQ(Get(session, "slow"), "hit a:slow");
  EXPECT_EQ(lab.computed("slow"), 1);
}

TEST_F(DyingClientTest, WhileItWaitsForAnothersFlight) {
  ServeThem();
  const SessionHandle session = Open("a");
  Call& first = Start(session, "slow");
  ASSERT_TRUE(lab.gate("slow").AwaitArrived());
  Call joined(dying, session.handle(), Request("slow"));
  EXPECT_TRUE(Soon([this] { return Gauges().waiters(); }, 2));
  Die();
  ExpectSoonAfterDeath(
      "sessions 1, instances 1, flights 1, holders 1, incarnations 1, waiters 1, timers 1, "
      "reactors 2, calls 1");
  lab.gate("slow").Open();
  EXPECT_EQ(first.Words(), "miss a:slow");
}

// With a resume window: nobody could take up a session whose handle was never told.
TEST_F(DyingClientTest, BeforeItHasReadTheHandle) {
  ServeOptions options;
  options.config.session.resume_window = std::chrono::hours(1);
  ServeThem(options);
  grpc::ChannelArguments reads_nothing;
  reads_nothing.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  reads_nothing.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 5);
  Connect(reads_nothing);
  const Opening opening(*dying_sessions, State("a"));
  ExpectSoon("sessions 1, instances 1, holders 1, incarnations 1, reactors 1");
  Die();
  ExpectSoonAfterDeath("nothing");
}

TEST_F(DyingClientTest, OnceItHasReadTheHandleItsSessionWaits) {
  ServeOptions options;
  options.config.session.resume_window = std::chrono::hours(1);
  ServeThem(options);
  Opening opening(*dying_sessions, State("a"));
  ASSERT_NE(opening.handle(), "");
  Die();
  ExpectSoonAfterDeath("sessions 1, instances 1, leases 1, incarnations 1");
  Holding again(*sessions, opening.handle());
  ASSERT_TRUE(again.Hold());
  again.HalfClose();
  ExpectSoon("nothing");
}

// Its session goes, and the state that it shares with another one stays.
TEST_F(DyingClientTest, MidFlightOnAStateThatItShares) {
  ServeOptions options;
  options.probe.share_equal_states = true;
  ServeThem(options);
  const SessionHandle stays = Open("a");
  Opening opening(*dying_sessions, State("a"));
  Call first(dying, opening.handle(), Request("slow"));
  ASSERT_TRUE(lab.gate("slow").AwaitArrived());
  Call& joined = Start(stays, "slow");
  ExpectSoon(
      "sessions 2, instances 1, flights 1, holders 2, incarnations 1, waiters 2, "
      "timers 1, reactors 4, calls 2");
  Die();
  ExpectSoonAfterDeath(
      "sessions 1, instances 1, flights 1, holders 1, incarnations 1, waiters 1, timers 1, "
      "reactors 2, calls 1");
  lab.gate("slow").Open();
  EXPECT_EQ(joined.Words(), "coalesced a:slow");
  EXPECT_EQ(Get(stays, "slow"), "hit a:slow");
}

TEST_F(DyingClientTest, WhileItsNextStateIsBeingMade) {
  ServeThem();
  Opening opening(*dying_sessions, State("a"));
  EXPECT_EQ(Ask(opening.handle(), Request("x")).Words(), "miss a:x");
  auto update = UpdateDying(opening.handle());
  ASSERT_TRUE(lab.gate("next").AwaitArrived());
  ExpectSoon(
      "sessions 1, instances 1, entries 1, holders 1, incarnations 1, reactors 2, "
      "builds 1");
  Die();
  ExpectSoonAfterDeath("reactors 1, builds 1");  // which foreign code makes, as long as it takes
  EXPECT_EQ(update.get().error_code(), grpc::StatusCode::UNAVAILABLE);
  lab.gate("next").Open();
  EXPECT_TRUE(AliveSoon("nothing"));
  EXPECT_EQ(lab.openings("next"), 1);
}

TEST_F(DyingClientTest, WhileItsNextStateWaitsForAThread) {
  ServeOptions options;
  options.config.compute.threads = 1;
  ServeThem(options);
  const SessionHandle other = Open("b");
  Opening opening(*dying_sessions, State("a"));
  EXPECT_EQ(Ask(opening.handle(), Request("x")).Words(), "miss a:x");
  Call& slow = Start(other, "slow");
  ASSERT_TRUE(lab.gate("slow").AwaitArrived());
  auto update = UpdateDying(opening.handle());
  EXPECT_TRUE(Soon([this] { return Gauges().queued(); }, 1));
  Die();
  ExpectSoonAfterDeath(
      "sessions 1, instances 1, flights 1, holders 1, incarnations 1, waiters 1, timers 1, "
      "reactors 3, queued 1, builds 1, calls 1");
  EXPECT_FALSE(update.get().ok());
  lab.gate("slow").Open();
  EXPECT_EQ(slow.Words(), "miss b:slow");
  ExpectSoon("sessions 1, instances 1, entries 1, holders 1, incarnations 1, reactors 1");
  EXPECT_EQ(lab.openings("next"), 0) << "nobody wanted it any more";
}

TEST_F(DyingClientTest, WhileItsLeasedSessionWaitsForAThread) {
  ServeOptions options;
  options.config.compute.threads = 1;
  ServeThem(options);
  const SessionHandle other = Open("b");
  Opening opening(*dying_sessions, State("a"));
  ASSERT_NE(opening.handle(), "");
  Call& slow = Start(other, "slow");
  ASSERT_TRUE(lab.gate("slow").AwaitArrived());
  auto lease = std::async(std::launch::async, [this] {
    grpc::ClientContext context;
    memo::v1::LeaseSessionRequest request;
    request.mutable_state()->PackFrom(State("next"));
    request.mutable_ttl()->set_seconds(3600);
    memo::v1::LeaseSessionResponse response;
    return dying_sessions->LeaseSession(&context, request, &response);
  });
  EXPECT_TRUE(Soon([this] { return Gauges().queued(); }, 1));
  Die();
  ExpectSoonAfterDeath(
      "sessions 1, instances 1, flights 1, holders 1, incarnations 1, waiters 1, timers 1, "
      "reactors 2, queued 1, builds 1, calls 1");
  EXPECT_FALSE(lease.get().ok());
  lab.gate("slow").Open();
  EXPECT_EQ(slow.Words(), "miss b:slow");
  ExpectSoon("sessions 1, instances 1, entries 1, holders 1, incarnations 1, reactors 1");
  EXPECT_EQ(lab.openings("next"), 0) << "nobody would know its handle";
}

// By an administrator, again and again, with entries and a computation in it.
TEST_F(DyingClientTest, WhileItsSessionIsCleared) {
  ServeThem();
  for (int round = 0; round < 20; ++round) {
    if (round > 0) Connect();
    Opening opening(*dying_sessions, State("a"));
    ASSERT_NE(opening.handle(), "");
    for (const char* key : {"1", "2", "3"}) {
      EXPECT_EQ(Ask(opening.handle(), Request(key)).Words(), absl::StrCat("miss a:", key));
    }
    Call endless(dying, opening.handle(), Request("endless"));
    ASSERT_TRUE(lab.gate("endless").AwaitArrived(round + 1));
    std::promise<void> clearing;
    std::thread clear([&, id = opening.id()] {
      grpc::StatusCode code = grpc::StatusCode::OK;
      for (int n = 0; code == grpc::StatusCode::OK; ++n) {
        memo::v1::AdminServiceClearCacheRequest request;
        request.set_session_id(id);
        memo::v1::AdminServiceClearCacheResponse response;
        grpc::ClientContext context;
        code = admin->ClearCache(&context, request, &response).error_code();
        if (n == round % 3) clearing.set_value();
        if (n < round % 3 && code != grpc::StatusCode::OK) clearing.set_value();
      }
      EXPECT_EQ(code, grpc::StatusCode::NOT_FOUND);
    });
    clearing.get_future().get();
    Die();
    ExpectSoonAfterDeath("nothing");
    clear.join();
  }
}

TEST_F(DyingClientTest, WhileAnotherHoldsItsSession) {
  ServeThem();
  Opening opening(*dying_sessions, State("a"));
  Holding other(*sessions, opening.handle());
  ASSERT_TRUE(other.Hold());
  EXPECT_EQ(Ask(opening.handle(), Request("x")).Words(), "miss a:x");
  ExpectSoon("sessions 1, instances 1, entries 1, holders 2, leases 1, incarnations 1, reactors 2");
  Die();
  ExpectSoonAfterDeath(
      "sessions 1, instances 1, entries 1, holders 1, leases 1, incarnations 1, reactors 1");
  EXPECT_EQ(Ask(opening.handle(), Request("x")).Words(), "hit a:x");
  other.Cancel();
  EXPECT_TRUE(AliveSoon("nothing"));
}

TEST_F(DyingClientTest, WithCallsOnAPipeline) {
  ServeThem();
  Opening opening(*dying_sessions, State("a"));
  RawPipeline pipeline(dying, opening.handle());
  ASSERT_TRUE(pipeline.Send(0, {"endless", "slow"}));
  ASSERT_TRUE(lab.gate("slow").AwaitArrived());
  ASSERT_TRUE(lab.gate("endless").AwaitArrived());
  ExpectSoon(
      "sessions 1, instances 1, flights 2, holders 1, incarnations 1, waiters 2, timers 2, "
      "reactors 2, calls 2");
  Die();
  // Foreign code that heeds nothing keeps what it runs on.
  ExpectSoonAfterDeath("instances 1, flights 1, incarnations 1, timers 1");
  lab.gate("slow").Open();
  EXPECT_TRUE(AliveSoon("nothing"));
}

}  // namespace
}  // namespace memod
