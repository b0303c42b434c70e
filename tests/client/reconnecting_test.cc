// What becomes of a client's session when its connection is lost, or its server.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "memod/tests/testing/server_test.h"
#include "memod/tests/testing/soon.h"
#include "memod/tests/testing/wire.h"
#include "testing/probe.grpc.pb.h"

namespace memod {
namespace {

using std::chrono::milliseconds;

constexpr Duration kLong = std::chrono::hours(1);

// The events of a session, as words.
class Log {
 public:
  SessionEvents Events() {
    return {[this] { Add("draining"); }, [this] { Add("resumed"); }, [this] { Add("reopened"); },
            [this](const absl::Status& why) {
              Add(absl::StrCat("lost ", absl::StatusCodeToString(why.code())));
            }};
  }
  // Soon, these and no others.
  testing::AssertionResult Says(const std::vector<std::string>& want) {
    return Soon(
        [this] {
          absl::MutexLock lock(&mutex_);
          return words_;
        },
        want);
  }

 private:
  void Add(std::string word) {
    absl::MutexLock lock(&mutex_);
    words_.push_back(std::move(word));
  }

  absl::Mutex mutex_;
  std::vector<std::string> words_ ABSL_GUARDED_BY(mutex_);
};

std::string Compute(memo::testing::v1::Probe::Stub& probe, const std::string& key) {
  grpc::ClientContext context;
  memo::testing::v1::ProbeRequest request;
  request.set_key(key);
  memo::testing::v1::ProbeResponse response;
  const grpc::Status status = probe.Compute(&context, request, &response);
  if (!status.ok()) return absl::StrCat(status.error_code(), " ", status.error_message());
  const auto how = context.GetServerInitialMetadata().find("memo-cache");
  return absl::StrCat(std::string(how->second.data(), how->second.size()), " ", response.value());
}

class ReconnectingTest : public ServerTest {
 protected:
  void ServeBehindWire(Duration resume_window, Duration heartbeat_timeout = kLong) {
    options_.config.session.resume_window = resume_window;
    options_.config.session.heartbeat_timeout = heartbeat_timeout;
    Serve(options_);
    wire_.emplace(server->port());
  }
  // Of a client beyond the wire.
  SessionHandle OpenBeyond(ClientOptions options = {}) {
    return OpenBeyond(std::move(options), log_.Events());
  }
  SessionHandle OpenBeyond(ClientOptions options, SessionEvents events) {
    return Client::Connect(absl::StrCat("127.0.0.1:", wire_->port()), std::move(options))
        .value()
        .OpenSession(State("a"), std::move(events))
        .value();
  }
  static std::unique_ptr<memo::testing::v1::Probe::Stub> ProbeOf(const SessionHandle& session) {
    return memo::testing::v1::Probe::NewStub(session.channel());
  }
  static testing::AssertionResult IsHeldSoon(const SessionHandle& session) {
    return Soon([&] { return session.status().ok(); }, true);
  }

  ServeOptions options_;
  std::optional<Wire> wire_;
  Log log_;
};

TEST_F(ReconnectingTest, LostConnectionsSessionIsResumedAsItWas) {
  ServeBehindWire(kLong);
  const SessionHandle session = OpenBeyond();
  const std::string handle = session.handle();
  const auto probe = ProbeOf(session);
  EXPECT_EQ(Compute(*probe, "x"), "miss a:x");
  for (int times = 1; times <= 3; ++times) {
    wire_->Reset();
    ASSERT_TRUE(log_.Says(std::vector<std::string>(times, "resumed")));
    EXPECT_EQ(session.handle(), handle);
    EXPECT_TRUE(session.status().ok());
  }
  EXPECT_EQ(Get(session, "x"), "hit a:x");
}

TEST_F(ReconnectingTest, WithoutAResumeWindowItIsOpenedAnewWithItsState) {
  ServeBehindWire(Duration::zero());
  SessionHandle session = OpenBeyond();
  const std::string handle = session.handle();
  const auto probe = ProbeOf(session);
  EXPECT_EQ(Compute(*probe, "x"), "miss a:x");
  wire_->Reset();
  ASSERT_TRUE(log_.Says({"reopened"}));
  EXPECT_NE(session.handle(), handle);
  EXPECT_EQ(Compute(*probe, "x"), "miss a:x");
  EXPECT_EQ(Compute(*probe, "x"), "hit a:x");

  EXPECT_TRUE(session.UpdateState(State("b")).ok());
  wire_->Reset();
  ASSERT_TRUE(log_.Says({"reopened", "reopened"}));
  EXPECT_EQ(Compute(*probe, "x"), "miss b:x");
}

TEST_F(ReconnectingTest, UpdateWhoseAnswerWasLostIsMadeAgain) {
  ServeBehindWire(kLong);
  options_.config.server.listen = absl::StrCat("127.0.0.1:", server->port());
  SessionHandle session = OpenBeyond();
  std::atomic<bool> swallowed = false;
  lab.OnOpen("b", [&] {
    if (!swallowed.exchange(true)) wire_->Swallow();
    return absl::OkStatus();
  });
  std::thread updater([&] {
    const auto receipt = session.UpdateState(State("b"));
    EXPECT_TRUE(receipt.ok()) << receipt.status();
  });
  EXPECT_TRUE(Soon([&] { return Get(session, "x").ends_with("b:x"); }, true));
  wire_->Reset();
  updater.join();
  ASSERT_TRUE(log_.Says({"resumed"}));
  StopServer();
  registry = Registry();
  Serve(options_);
  ASSERT_TRUE(log_.Says({"resumed", "reopened"}));
  EXPECT_EQ(Compute(*ProbeOf(session), "x"), "miss b:x");
}

TEST_F(ReconnectingTest, UpdateThatItsClassRefusesIsNotTakenForALostOne) {
  ServeBehindWire(kLong);
  SessionHandle session = OpenBeyond();
  lab.OnOpen("b", [] { return absl::UnavailableError("no database"); });
  EXPECT_EQ(session.UpdateState(State("b")).status(), absl::UnavailableError("no database"));
  EXPECT_LE(lab.openings("b"), 2);
  EXPECT_EQ(Compute(*ProbeOf(session), "x"), "miss a:x");
}

// The answers of updates that are made at once may come in another order than these were made in.
TEST_F(ReconnectingTest, ItIsOpenedAnewWithTheStateThatTheServerTookLast) {
  constexpr int kRounds = 10, kThreads = 4, kUpdates = 10;
  ServeBehindWire(Duration::zero());
  SessionHandle session = OpenBeyond();
  const auto probe = ProbeOf(session);
  std::vector<std::string> reopened;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&session, t] {
        for (int i = 0; i < kUpdates; ++i) {
          EXPECT_TRUE(session.UpdateState(State(absl::StrCat(t, ".", i))).ok());
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    const std::string before = Compute(*probe, "x");
    wire_->Reset();
    reopened.push_back("reopened");
    ASSERT_TRUE(log_.Says(reopened));
    EXPECT_EQ(Compute(*probe, "x"), before) << "in round " << round;
  }
}

TEST_F(ReconnectingTest, SessionThatWaitedTooLongIsOpenedAnew) {
  ServeBehindWire(milliseconds(50));
  const SessionHandle session = OpenBeyond();
  wire_->Set(Fault::kRefuse);
  ASSERT_TRUE(AliveSoon("nothing"));
  EXPECT_EQ(session.status().code(), absl::StatusCode::kUnavailable);
  wire_->Set(Fault::kNone);
  ASSERT_TRUE(log_.Says({"reopened"}));
  EXPECT_EQ(Compute(*ProbeOf(session), "x"), "miss a:x");
}

TEST_F(ReconnectingTest, ServerThatCameBackGetsTheSessionAgain) {
  ServeBehindWire(kLong);
  options_.config.server.listen = absl::StrCat("127.0.0.1:", server->port());
  const SessionHandle session = OpenBeyond();
  const auto probe = ProbeOf(session);
  EXPECT_EQ(Compute(*probe, "x"), "miss a:x");
  StopServer();
  registry = Registry();
  Serve(options_);
  ASSERT_TRUE(log_.Says({"reopened"}));
  EXPECT_EQ(Compute(*probe, "x"), "miss a:x");
}

TEST_F(ReconnectingTest, ResumedSessionIsHeldByHeartbeats) {
  ServeBehindWire(kLong, milliseconds(400));
  const SessionHandle session = OpenBeyond();
  EXPECT_EQ(Get(session, "x"), "miss a:x");
  wire_->Reset();
  ASSERT_TRUE(log_.Says({"resumed"}));
  // They keep it for many times the timeout.
  const auto begin = Clock::now();
  while (Clock::now() - begin < milliseconds(1600)) ASSERT_TRUE(session.status().ok());
  // Nothing arrives any more; gRPC's keepalive would not tell for 10 s.
  wire_->Swallow();
  EXPECT_TRUE(Soon([&] { return session.status().ok(); }, false));
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(9));
  wire_->Reset();
  ASSERT_TRUE(log_.Says({"resumed", "resumed"}));
  EXPECT_EQ(Get(session, "x"), "hit a:x");
}

TEST_F(ReconnectingTest, SessionThatAnAdministratorClosedStaysClosed) {
  ServeBehindWire(kLong);
  const SessionHandle session = OpenBeyond();
  memo::v1::AdminServiceCloseSessionRequest request;
  request.set_session_id(session.id());
  memo::v1::AdminServiceCloseSessionResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(admin->CloseSession(&context, request, &response).ok());
  EXPECT_TRUE(log_.Says({"lost ABORTED"}));
  EXPECT_EQ(session.status().code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(AliveSoon("nothing"));
}

TEST_F(ReconnectingTest, ServerThatStaysAwayIsALossInTheEnd) {
  ServeBehindWire(Duration::zero());
  ClientOptions options;
  options.reconnect_timeout = milliseconds(300);
  const SessionHandle session = OpenBeyond(options);
  const auto begin = Clock::now();
  wire_->Set(Fault::kRefuse);
  EXPECT_TRUE(log_.Says({"lost UNAVAILABLE"}));
  EXPECT_GE(Clock::now() - begin, milliseconds(300));
}

TEST_F(ReconnectingTest, DestroyedHandleEndsTheSessionWithoutAResumeWindow) {
  ServeBehindWire(kLong);
  {
    const SessionHandle opened = OpenBeyond();
    EXPECT_EQ(Get(opened, "x"), "miss a:x");
  }
  EXPECT_TRUE(AliveSoon("nothing"));
  {
    const SessionHandle resumed = OpenBeyond();
    wire_->Reset();
    ASSERT_TRUE(log_.Says({"resumed"}));
  }
  EXPECT_TRUE(AliveSoon("nothing"));
}

TEST_F(ReconnectingTest, LastOfAClientGoesWhenItsSessionsAreClosed) {
  ServeBehindWire(kLong);
  for (int round = 0; round < 20; ++round) {
    std::optional<SessionHandle> session(OpenBeyond());
    session.reset();
    ASSERT_EQ(Gauges().sessions(), 0) << "in round " << round;
  }
}

TEST_F(ReconnectingTest, LastOfAClientWaitsForNoServerLongerThanASecond) {
  ServeBehindWire(kLong);
  std::optional<SessionHandle> session(OpenBeyond());
  wire_->Swallow();
  auto begin = Clock::now();
  session.reset();
  EXPECT_GE(Clock::now() - begin, std::chrono::seconds(1));
  EXPECT_LT(Clock::now() - begin, kPatience);

  absl::Notification told;
  SessionEvents events;
  events.resumed = [&] {
    wire_->Swallow();
    begin = Clock::now();
    session.reset();
    EXPECT_LT(Clock::now() - begin, std::chrono::seconds(1));
    told.Notify();
  };
  session = OpenBeyond({}, events);
  wire_->Reset();
  told.WaitForNotification();
  wire_->Reset();
  EXPECT_TRUE(AliveSoon("nothing"));
}

TEST_F(ReconnectingTest, WithoutAResumeWindowTheLastOfAClientWaitsForNoServer) {
  ServeBehindWire(Duration::zero());
  std::optional<SessionHandle> session(OpenBeyond());
  wire_->Swallow();
  const auto begin = Clock::now();
  session.reset();
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(1));
  wire_->Reset();
}

TEST_F(ReconnectingTest, DestructionMeetsReconnection) {
  ServeBehindWire(kLong);
  for (int round = 0; round < 50; ++round) {
    std::optional<SessionHandle> session(OpenBeyond());
    std::thread cut([&] { wire_->Reset(); });
    if (round % 2 == 0) session->Close().IgnoreError();
    session.reset();
    cut.join();
  }
  EXPECT_TRUE(AliveSoon("nothing"));
}

}  // namespace
}  // namespace memod
