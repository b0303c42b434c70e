#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "memo/examples/v1/slow_adder.grpc.pb.h"
#include "memod/client/client.h"
#include "memod/tests/client/fake_server.h"

namespace memod {
namespace {

using absl::StatusCode;
using memo::examples::v1::CalculateRequest;
using memo::examples::v1::CalculateResponse;
using memo::examples::v1::SlowAdder;
using memo::examples::v1::SlowAdderState;
using testing::ElementsAre;
using testing::HasSubstr;

static_assert(!std::is_copy_constructible_v<SessionHandle>);
static_assert(std::is_nothrow_move_constructible_v<SessionHandle>);
static_assert(std::is_nothrow_move_assignable_v<SessionHandle>);

class SessionHandleTest : public testing::Test {
 protected:
  Client Connect(ClientOptions options = {}) {
    return Client::Connect(server.address(), std::move(options)).value();
  }
  // Of a client that takes every loss as final.
  Client ConnectOnce() {
    ClientOptions options;
    options.reconnect_timeout = std::chrono::milliseconds::zero();
    return Connect(std::move(options));
  }
  static std::unique_ptr<SessionHandle> Hold(absl::StatusOr<SessionHandle> session) {
    return std::make_unique<SessionHandle>(std::move(session).value());
  }
  static grpc::Status Calculate(const std::shared_ptr<grpc::ChannelInterface>& channel) {
    grpc::ClientContext context;
    CalculateRequest request;
    CalculateResponse response;
    return SlowAdder::NewStub(channel)->Calculate(&context, request, &response);
  }

  FakeServer server;
};

// Waits in tests for what a callback brings.
struct Told {
  absl::Notification done;
  absl::Status why;
  int times = 0;

  SessionEvents OnLost() {
    SessionEvents events;
    events.lost = [this](const absl::Status& status) {
      why = status;
      if (++times == 1) done.Notify();
    };
    return events;
  }
  bool Wait() { return done.WaitForNotificationWithTimeout(absl::FromChrono(kPatience)); }
};

TEST_F(SessionHandleTest, SessionLivesAsLongAsItsHandle) {
  auto session = Hold(Connect().OpenSession());  // outlives its client
  EXPECT_EQ(session->id(), "s1");
  EXPECT_EQ(session->handle(), "secret-1");
  EXPECT_TRUE(session->status().ok());
  EXPECT_TRUE(server.sessions.AwaitOpen(1));
  session.reset();
  EXPECT_TRUE(server.sessions.AwaitOpen(0));
}

TEST_F(SessionHandleTest, MovingHandsTheSessionOver) {
  const Client client = Connect();
  std::optional<SessionHandle> kept;
  {
    SessionHandle first = client.OpenSession().value();
    kept.emplace(std::move(first));
  }
  EXPECT_TRUE(kept->GetCacheInfo().ok());
  *kept = client.OpenSession().value();  // lets go of the first
  EXPECT_EQ(kept->id(), "s2");
  EXPECT_TRUE(server.sessions.AwaitOpen(1));
}

TEST_F(SessionHandleTest, StateIsPackedOnce) {
  const Client client = Connect();
  SlowAdderState state;
  state.mutable_delay()->set_seconds(2);
  const auto held = Hold(client.OpenSession(state));
  const google::protobuf::Any sent = server.sessions.last_request().state();
  EXPECT_EQ(sent.type_url(), "type.googleapis.com/memo.examples.v1.SlowAdderState");
  SlowAdderState received;
  ASSERT_TRUE(sent.UnpackTo(&received));
  EXPECT_EQ(received.delay().seconds(), 2);

  const auto again = Hold(client.OpenSession(sent));
  EXPECT_EQ(server.sessions.last_request().state().SerializeAsString(), sent.SerializeAsString());
  const auto none = Hold(client.OpenSession());
  EXPECT_FALSE(server.sessions.last_request().has_state());
}

TEST_F(SessionHandleTest, RefusalToOpenIsReturnedUnchanged) {
  server.sessions.RefuseToOpen({grpc::StatusCode::RESOURCE_EXHAUSTED, "too many sessions"});
  Told told;
  const auto session = Connect().OpenSession(told.OnLost());
  EXPECT_EQ(session.status(), absl::ResourceExhaustedError("too many sessions"));
  EXPECT_TRUE(server.sessions.AwaitOpen(0));
  EXPECT_EQ(told.times, 0);
}

TEST_F(SessionHandleTest, ServerThatNeverOpensIsGivenUp) {
  server.sessions.NeverAnswerOpen();
  ClientOptions options;
  options.call_timeout = std::chrono::milliseconds(50);
  const auto session = Connect(options).OpenSession();
  EXPECT_EQ(session.status().code(), StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(server.sessions.AwaitOpen(0));
}

TEST_F(SessionHandleTest, TimeoutsMayBeForEver) {
  constexpr auto kForEver = std::chrono::milliseconds::max();
  ClientOptions options;
  options.connect_timeout = options.call_timeout = options.reconnect_timeout = kForEver;
  options.keepalive_time = options.keepalive_timeout = kForEver;
  const auto client = Client::Connect(server.address(), options);
  ASSERT_TRUE(client.ok()) << client.status();
  const auto session = client->OpenSession();
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_TRUE(session->GetCacheInfo().ok());
  EXPECT_TRUE(session->status().ok());
}

TEST_F(SessionHandleTest, ConnectSaysWhyThereIsNoConnection) {
  server.Stop();
  const auto client = Client::Connect(server.address());
  EXPECT_EQ(client.status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(std::string(client.status().message()), HasSubstr(server.address()));
  EXPECT_THAT(std::string(client.status().message()), HasSubstr("Connection refused"));
}

TEST_F(SessionHandleTest, ChannelAddsItsOwnHandleOnceToEveryCall) {
  const Client client = Connect();
  const auto one = Hold(client.OpenSession());
  const auto two = Hold(client.OpenSession());
  EXPECT_EQ(one->channel(), one->channel());
  ASSERT_TRUE(Calculate(one->channel()).ok());
  ASSERT_TRUE(Calculate(two->channel()).ok());
  ASSERT_TRUE(Calculate(client.channel()).ok());
  const auto calls = server.adder.calls();
  ASSERT_EQ(calls.size(), 3u);
  EXPECT_THAT(calls[0].handles, ElementsAre("secret-1"));
  EXPECT_THAT(calls[1].handles, ElementsAre("secret-2"));
  EXPECT_THAT(calls[2].handles, ElementsAre());
}

TEST_F(SessionHandleTest, CallbackStubsGetTheHandleToo) {
  const auto session = Hold(Connect().OpenSession());
  const auto stub = SlowAdder::NewStub(session->channel());
  grpc::ClientContext context;
  CalculateRequest request;
  CalculateResponse response;
  absl::Notification done;
  stub->async()->Calculate(&context, &request, &response, [&](grpc::Status) { done.Notify(); });
  ASSERT_TRUE(done.WaitForNotificationWithTimeout(absl::FromChrono(kPatience)));
  EXPECT_THAT(server.adder.calls().at(0).handles, ElementsAre("secret-1"));
}

TEST_F(SessionHandleTest, StreamsShareOneConnectionAndCallsAnother) {
  const Client client = Connect();
  const auto one = Hold(client.OpenSession());
  const auto two = Hold(client.OpenSession());
  ASSERT_TRUE(Calculate(one->channel()).ok());
  ASSERT_TRUE(Calculate(two->channel()).ok());
  ASSERT_TRUE(Calculate(client.channel()).ok());
  std::set<std::string> call_peers;
  for (const auto& call : server.adder.calls()) call_peers.insert(call.peer);
  const auto stream_peers = server.sessions.stream_peers();
  ASSERT_EQ(stream_peers.size(), 1u);
  ASSERT_EQ(call_peers.size(), 1u);
  EXPECT_NE(*stream_peers.begin(), *call_peers.begin());
}

TEST_F(SessionHandleTest, OwnCallsCarryTheHandleAndReturnReceipts) {
  const auto session = Hold(Connect().OpenSession());
  SlowAdderState state;
  state.mutable_delay()->set_seconds(1);
  EXPECT_GT(session->UpdateState(state).value().bytes(), 0);
  EXPECT_EQ(session->ClearCache().value().entries(), 2);
  EXPECT_EQ(session->ClearCache("/a.B/C").value().entries(), 1);
  EXPECT_EQ(session->Forget("/a.B/C", state).value().bytes(), state.ByteSizeLong());
  const auto info = session->GetCacheInfo("/a.B/C").value();
  EXPECT_EQ(info.total().hits(), 7);
  EXPECT_EQ(info.methods(0).method(), "/a.B/C");
}

TEST_F(SessionHandleTest, CloseReturnsTheReceiptAndIsNoLoss) {
  Told told;
  auto session = Hold(ConnectOnce().OpenSession(told.OnLost()));
  EXPECT_EQ(session->Close().value().entries(), 3);
  EXPECT_TRUE(server.sessions.AwaitOpen(0));
  EXPECT_EQ(session->status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(session->Close().status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(session->GetCacheInfo().status().code(), StatusCode::kNotFound);
  session.reset();
  EXPECT_EQ(told.times, 0);
}

TEST_F(SessionHandleTest, CloseLetsGoOfTheSessionAlsoWhenTheServerIsGone) {
  auto session = Hold(Connect().OpenSession());
  server.Stop();
  EXPECT_FALSE(session->Close().ok());
  EXPECT_FALSE(session->status().ok());
}

TEST_F(SessionHandleTest, LossIsToldOnceWithItsReason) {
  Told told;
  const auto session = Hold(ConnectOnce().OpenSession(told.OnLost()));
  server.sessions.End("s1", {grpc::StatusCode::ABORTED, "closed by an administrator"});
  ASSERT_TRUE(told.Wait());
  EXPECT_EQ(told.why, absl::AbortedError("closed by an administrator"));
  EXPECT_EQ(session->status(), told.why);
  EXPECT_EQ(session->Close().status(), told.why);
  EXPECT_EQ(told.times, 1);
}

TEST_F(SessionHandleTest, StreamThatEndsInOrderIsALossToo) {
  Told told;
  const auto session = Hold(ConnectOnce().OpenSession(told.OnLost()));
  server.sessions.End("s1", grpc::Status::OK);
  ASSERT_TRUE(told.Wait());
  EXPECT_EQ(told.why.code(), StatusCode::kAborted);
}

TEST_F(SessionHandleTest, EndOfTheServerIsALossOfEverySession) {
  Told one, two;
  const Client client = ConnectOnce();
  const auto first = Hold(client.OpenSession(one.OnLost()));
  const auto second = Hold(client.OpenSession(two.OnLost()));
  server.Stop();
  ASSERT_TRUE(one.Wait());
  ASSERT_TRUE(two.Wait());
  EXPECT_FALSE(first->status().ok());
  EXPECT_FALSE(second->status().ok());
}

TEST_F(SessionHandleTest, RefusalToOpenItAnewIsTheLoss) {
  Told told;
  const auto session = Hold(Connect().OpenSession(told.OnLost()));
  server.sessions.RefuseToOpen({grpc::StatusCode::INVALID_ARGUMENT, "no such class"});
  server.sessions.End("s1", {grpc::StatusCode::UNAVAILABLE, "gone"});
  ASSERT_TRUE(told.Wait());
  EXPECT_EQ(told.why, absl::InvalidArgumentError("no such class"));
}

TEST_F(SessionHandleTest, RefusalThatMayPassIsNone) {
  Told told;
  absl::Notification reopened;
  SessionEvents events = told.OnLost();
  events.reopened = [&] { reopened.Notify(); };
  const auto session = Hold(Connect().OpenSession(std::move(events)));
  server.sessions.RefuseToOpen({grpc::StatusCode::RESOURCE_EXHAUSTED, "too many sessions"});
  server.sessions.End("s1", {grpc::StatusCode::UNAVAILABLE, "gone"});
  EXPECT_TRUE(server.sessions.AwaitRefused(3));
  EXPECT_EQ(session->status(), absl::UnavailableError("gone"));
  server.sessions.RefuseToOpen(grpc::Status::OK);
  ASSERT_TRUE(reopened.WaitForNotificationWithTimeout(absl::FromChrono(kPatience)));
  EXPECT_TRUE(session->status().ok());
  EXPECT_EQ(told.times, 0);
}

// The server's time may not have begun yet, or its clock stands still.
TEST_F(SessionHandleTest, OnlyTheServerSaysThatItWaitsNoLonger) {
  server.sessions.PromiseToWait();
  absl::Notification reopened;
  SessionEvents events;
  events.reopened = [&] { reopened.Notify(); };
  const auto session = Hold(Connect().OpenSession(std::move(events)));
  server.sessions.End("s1", {grpc::StatusCode::UNAVAILABLE, "gone"});
  ASSERT_TRUE(reopened.WaitForNotificationWithTimeout(absl::FromChrono(kPatience)));
  EXPECT_EQ(server.sessions.resumptions(), 1);
}

TEST_F(SessionHandleTest, SilentServerIsALossWhenTheTimeToReconnectIsOver) {
  Told told;
  ClientOptions options;
  options.call_timeout = std::chrono::hours(1);
  options.reconnect_timeout = std::chrono::milliseconds(300);
  const auto session = Hold(Connect(options).OpenSession(told.OnLost()));
  server.sessions.NeverAnswerOpen();
  const auto begin = std::chrono::steady_clock::now();
  server.sessions.End("s1", {grpc::StatusCode::UNAVAILABLE, "gone"});
  ASSERT_TRUE(told.Wait());
  EXPECT_EQ(told.why, absl::UnavailableError("gone"));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, options.reconnect_timeout);
}

TEST_F(SessionHandleTest, SoIsOneThatItWasToMoveTo) {
  FakeServer other;
  Told told;
  ClientOptions options;
  options.call_timeout = std::chrono::hours(1);
  options.reconnect_timeout = std::chrono::milliseconds(300);
  const Client client = Client::Connect({server.address(), other.address()}, options).value();
  const auto one = Hold(client.OpenSession(told.OnLost()));
  const auto two = Hold(client.OpenSession(told.OnLost()));
  server.sessions.NeverAnswerOpen();
  other.sessions.NeverAnswerOpen();
  server.sessions.Drain("s1");
  ASSERT_TRUE(other.sessions.AwaitOpen(2));
  server.sessions.End("s1", {grpc::StatusCode::UNAVAILABLE, "gone"});
  ASSERT_TRUE(told.Wait());
  EXPECT_EQ(told.why, absl::UnavailableError("gone"));
}

TEST_F(SessionHandleTest, SilentServerLeavesTimeToOpenOnAnother) {
  FakeServer silent;
  ClientOptions options;
  options.call_timeout = std::chrono::seconds(3);
  const Client client = Client::Connect({silent.address(), server.address()}, options).value();
  silent.sessions.NeverAnswerOpen();
  const auto one = client.OpenSession(), two = client.OpenSession();
  EXPECT_TRUE(one.ok()) << one.status();
  EXPECT_TRUE(two.ok()) << two.status();
}

TEST_F(SessionHandleTest, DrainingIsToldAndTheSessionGoesOn) {
  absl::Notification draining;
  SessionEvents events;
  events.draining = [&] { draining.Notify(); };
  const auto session = Hold(Connect().OpenSession(std::move(events)));
  EXPECT_FALSE(session->draining());
  server.sessions.Drain("s1");
  ASSERT_TRUE(draining.WaitForNotificationWithTimeout(absl::FromChrono(kPatience)));
  EXPECT_TRUE(session->draining());
  EXPECT_TRUE(session->status().ok());
  EXPECT_TRUE(session->GetCacheInfo().ok());
}

// While the client still sees to it that calls will find a connection there.
TEST_F(SessionHandleTest, DrainingOfTheServerThatItIsBeingOpenedOnIsToldAfterwards) {
  std::vector<std::string> told;
  absl::Notification twice;
  SessionEvents events;
  events.draining = [&] { told.push_back("draining"); };
  events.reopened = [&] {
    told.push_back("reopened");
    if (told.size() == 3) twice.Notify();
  };
  const auto session = Hold(Connect().OpenSession(std::move(events)));
  server.sessions.DrainNext();
  server.sessions.End("s1", {grpc::StatusCode::UNAVAILABLE, "gone"});
  ASSERT_TRUE(twice.WaitForNotificationWithTimeout(absl::FromChrono(kPatience)));
  EXPECT_THAT(told, ElementsAre("reopened", "draining", "reopened"));
}

TEST_F(SessionHandleTest, DestructionWaitsForTheEventBeingTold) {
  absl::Notification told, go_on;
  bool finished = false;
  SessionEvents events;
  events.lost = [&](const absl::Status&) {
    told.Notify();
    go_on.WaitForNotification();
    finished = true;
  };
  auto session = Hold(Connect().OpenSession(std::move(events)));
  server.sessions.End("s1", grpc::Status::OK);
  ASSERT_TRUE(told.WaitForNotificationWithTimeout(absl::FromChrono(kPatience)));
  std::thread helper([&] { go_on.Notify(); });
  session.reset();
  EXPECT_TRUE(finished);
  helper.join();
}

TEST_F(SessionHandleTest, EventMayDestroyItsOwnHandle) {
  std::unique_ptr<SessionHandle> session;
  absl::Notification assigned, destroyed;
  SessionEvents events;
  events.lost = [&](const absl::Status&) {
    assigned.WaitForNotification();
    session.reset();  // the last of the client, too
    destroyed.Notify();
  };
  session = Hold(Connect().OpenSession(std::move(events)));
  assigned.Notify();
  server.sessions.End("s1", grpc::Status::OK);
  EXPECT_TRUE(destroyed.WaitForNotificationWithTimeout(absl::FromChrono(kPatience)));
}

TEST_F(SessionHandleTest, WhatEventsHoldIsFreedWithTheHandle) {
  const auto held = std::make_shared<int>(0);
  SessionEvents events;
  events.lost = [held](const absl::Status&) {};
  auto session = Hold(Connect().OpenSession(std::move(events)));
  EXPECT_GT(held.use_count(), 1);
  session.reset();
  EXPECT_EQ(held.use_count(), 1);
}

// Ends of both sides, again and again at the same time: for the sanitizers, and for deadlocks.
TEST_F(SessionHandleTest, EndsFromBothSidesMeet) {
  const Client client = Connect();
  for (int round = 1; round <= 300; ++round) {
    int told = 0;
    SessionEvents events;
    events.lost = [&told](const absl::Status&) { ++told; };
    auto session = Hold(client.OpenSession(std::move(events)));
    std::thread ender([&, id = session->id()] {
      server.sessions.End(id, {grpc::StatusCode::ABORTED, "ended"});
    });
    if (round % 2 == 0) session->Close().IgnoreError();
    session.reset();
    const int when_destroyed = told;
    ender.join();
    ASSERT_TRUE(server.sessions.AwaitOpen(0));
    ASSERT_EQ(told, when_destroyed);
    ASSERT_LE(told, 1);
  }
}

}  // namespace
}  // namespace memod
