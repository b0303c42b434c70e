// Who holds a session: streams of several processes, leases, and the time a lost client has to come
// back.
#include <gtest/gtest.h>

#include <future>
#include <limits>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memod/tests/testing/holding.h"
#include "memod/tests/testing/opening.h"
#include "memod/tests/testing/server_test.h"
#include "memod/tests/testing/stream_call.h"

namespace memod {
namespace {

using grpc::StatusCode;
using std::chrono::milliseconds;

class HoldersTest : public ServerTest {
 protected:
  void ServeWith(Duration resume_window, Duration heartbeat_timeout = std::chrono::hours(1)) {
    ServeOptions options;
    options.config.session.resume_window = resume_window;
    options.config.session.heartbeat_timeout = heartbeat_timeout;
    Serve(options);
  }
  std::string GetBy(const std::string& handle, const std::string& key) {
    return Ask(handle, Request(key)).Words();
  }
  // One that outlives every test.
  static constexpr Duration kLong = std::chrono::hours(1);

  grpc::Status Lease(Duration ttl, memo::v1::LeaseSessionResponse* leased,
                     const std::string& state = "a") {
    grpc::ClientContext context;
    memo::v1::LeaseSessionRequest request;
    request.mutable_state()->PackFrom(State(state));
    const auto ms = std::chrono::duration_cast<milliseconds>(ttl).count();
    request.mutable_ttl()->set_seconds(ms / 1000);
    request.mutable_ttl()->set_nanos(static_cast<int32_t>(ms % 1000) * 1'000'000);
    return sessions->LeaseSession(&context, request, leased);
  }
  std::string Lease(Duration ttl) {
    memo::v1::LeaseSessionResponse leased;
    const grpc::Status status = Lease(ttl, &leased);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return leased.handle();
  }
  grpc::Status Renew(const std::optional<std::string>& handle,
                     const std::vector<std::string>& others = {},
                     memo::v1::RenewSessionResponse* renewed = nullptr) {
    grpc::ClientContext context;
    if (handle) context.AddMetadata("memo-session", *handle);
    memo::v1::RenewSessionRequest request;
    request.mutable_handles()->Assign(others.begin(), others.end());
    memo::v1::RenewSessionResponse response;
    return sessions->RenewSession(&context, request, renewed == nullptr ? &response : renewed);
  }
  void Close(const std::string& handle) {
    grpc::ClientContext context;
    context.AddMetadata("memo-session", handle);
    memo::v1::CloseSessionResponse response;
    EXPECT_TRUE(sessions->CloseSession(&context, {}, &response).ok());
  }
};

// Streams

TEST_F(HoldersTest, SessionLivesAsLongAsAnyStreamHoldsIt) {
  ServeWith(Duration::zero());
  std::optional<Opening> first(std::in_place, *sessions, State("a"));
  const std::string handle = first->handle();
  EXPECT_EQ(GetBy(handle, "x"), "miss a:x");
  std::optional<Holding> second(std::in_place, *sessions, handle);
  ASSERT_TRUE(second->Hold());
  first.reset();  // gone
  EXPECT_EQ(GetBy(handle, "x"), "hit a:x");
  Holding third(*sessions, handle);
  ASSERT_TRUE(third.Hold());
  second.reset();
  EXPECT_EQ(GetBy(handle, "x"), "hit a:x");
  third.Cancel();
  EXPECT_TRUE(AliveSoon("nothing"));
  EXPECT_EQ(GetBy(handle, "x"), "NOT_FOUND SESSION_NOT_FOUND");
}

TEST_F(HoldersTest, HalfCloseLetsGo) {
  ServeWith(kLong);  // which half-closing does not wait for
  const std::string handle = Lease(kLong);
  Holding stream(*sessions, handle);
  ASSERT_TRUE(stream.Hold());
  stream.HalfClose();
  EXPECT_TRUE(stream.Wait().ok()) << stream.Wait().error_message();
  EXPECT_EQ(GetBy(handle, "x"), "miss a:x");  // still leased
  Opening opening(*sessions, State("b"));
  Holding beside(*sessions, opening.handle());
  ASSERT_TRUE(beside.Hold());
  opening.Cancel();
  EXPECT_TRUE(Soon([this] { return Gauges().holders(); }, 1)) << "else its loss may be the last";
  EXPECT_EQ(GetBy(opening.handle(), "x"), "miss b:x");
  beside.HalfClose();
  EXPECT_TRUE(beside.Wait().ok());
  EXPECT_TRUE(AliveSoon("sessions 1, instances 1, entries 1"));
  Close(handle);
}

TEST_F(HoldersTest, EveryStreamIsToldWhyTheSessionIsClosed) {
  ServeWith(Duration::zero());
  Opening opening(*sessions, State("a"));
  Holding holding(*sessions, opening.handle());
  ASSERT_TRUE(holding.Hold());
  memo::v1::AdminServiceCloseSessionRequest request;
  request.set_session_id(opening.id());
  memo::v1::AdminServiceCloseSessionResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(admin->CloseSession(&context, request, &response).ok());
  EXPECT_EQ(opening.Wait().error_code(), StatusCode::ABORTED);
  EXPECT_EQ(holding.Wait().error_code(), StatusCode::ABORTED);
}

TEST_F(HoldersTest, NewerStreamOfTheSameHolderTakesThePlaceOfTheOlder) {
  ServeWith(Duration::zero());
  Opening opening(*sessions, State("a"));
  Holding before(*sessions, opening.handle());
  ASSERT_TRUE(before.Hold("me"));
  Holding after(*sessions, opening.handle());
  ASSERT_TRUE(after.Hold("me"));
  EXPECT_EQ(before.Wait().error_code(), StatusCode::ABORTED);
  opening.Cancel();
  opening.Wait();
  EXPECT_EQ(GetBy(opening.handle(), "x"), "miss a:x");
  after.Cancel();
  EXPECT_TRUE(AliveSoon("nothing"));
}

TEST_F(HoldersTest, HeartbeatsAreAnswered) {
  ServeWith(Duration::zero());
  Opening opening(*sessions, State("a"));
  Holding holding(*sessions, opening.handle());
  ASSERT_TRUE(holding.SendHold(""));
  const auto held = holding.Read();
  ASSERT_TRUE(held && held->has_held());
  EXPECT_EQ(held->held().session_id(), opening.id());
  EXPECT_EQ(held->held().heartbeat_timeout().seconds(), 3600);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(holding.SendHeartbeat());
    const auto answer = holding.Read();
    EXPECT_TRUE(answer && answer->has_heartbeat());
  }
}

TEST_F(HoldersTest, HolderWhoseHeartbeatsStopHoldsNoMore) {
  ServeWith(Duration::zero(), milliseconds(200));
  Opening opening(*sessions, State("a"));
  Holding silent(*sessions, opening.handle());
  ASSERT_TRUE(silent.Hold());
  opening.Cancel();
  EXPECT_EQ(silent.Wait().error_code(), StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(silent.Wait().error_message(), "no heartbeat for 0.2 s (session.heartbeat_timeout)");
  EXPECT_TRUE(AliveSoon("nothing"));
}

TEST_F(HoldersTest, HolderWhoNeverSaysHoldIsNone) {
  ServeWith(Duration::zero(), milliseconds(200));
  Opening opening(*sessions, State("a"));
  Holding mute(*sessions, opening.handle());
  EXPECT_EQ(mute.Wait().error_code(), StatusCode::DEADLINE_EXCEEDED);
  Holding gone(*sessions, opening.handle());
  gone.HalfClose();
  EXPECT_TRUE(gone.Wait().ok());
  EXPECT_EQ(GetBy(opening.handle(), "x"), "miss a:x");
}

TEST_F(HoldersTest, WhatIsNoHoldIsRefused) {
  ServeWith(Duration::zero());
  Opening opening(*sessions, State("a"));
  {
    Holding stream(*sessions, std::nullopt);
    EXPECT_EQ(stream.Wait().error_code(), StatusCode::FAILED_PRECONDITION);
  }
  {
    Holding stream(*sessions, "unknown");
    EXPECT_EQ(stream.Wait().error_code(), StatusCode::NOT_FOUND);
  }
  {
    Holding stream(*sessions, opening.handle());
    EXPECT_TRUE(stream.SendHeartbeat());
    EXPECT_EQ(stream.Wait().error_code(), StatusCode::INVALID_ARGUMENT);
  }
  {
    Holding stream(*sessions, opening.handle());
    EXPECT_TRUE(stream.SendHold(std::string(65, 'x')));
    EXPECT_EQ(stream.Wait().error_message(), "the holder's name is 65 bytes; want at most 64");
  }
}

TEST_F(HoldersTest, MessageThatDoesNotDecodeIsNoHalfClose) {
  ServeWith(kLong);
  Opening opening(*sessions, State("a"));
  Holding named(*sessions, opening.handle());
  ASSERT_TRUE(named.Hold("me"));
  StreamCall raw(grpc::CreateChannel(target(), grpc::InsecureChannelCredentials()),
                 "/memo.v1.SessionService/HoldSession",
                 {.metadata = {{"memo-session", opening.handle()}}});
  memo::v1::HoldSessionRequest hold;
  hold.mutable_hold()->set_holder("me");
  ASSERT_TRUE(raw.Write(hold.SerializeAsString()));
  EXPECT_TRUE(raw.Read().has_value());
  opening.Cancel();
  EXPECT_TRUE(Soon([this] { return Gauges().holders(); }, 1));
  ASSERT_TRUE(raw.Write("\xff\xff\xff"));
  EXPECT_EQ(raw.Finish().Words(), "INVALID_ARGUMENT BAD_REQUEST");
  EXPECT_EQ(GetBy(opening.handle(), "x"), "miss a:x") << "it waits for its client";
  Close(opening.handle());
}

TEST_F(HoldersTest, WhoIsRefusedHasGivenHisPlaceBack) {
  ServeOptions options;
  options.config.session.max_holders = 1;
  Serve(options);
  const std::string handle = Lease(kLong);
  for (int i = 0; i < 30; ++i) {
    Holding wrong(*sessions, handle);
    EXPECT_TRUE(wrong.SendHeartbeat());
    EXPECT_EQ(wrong.Wait().error_code(), StatusCode::INVALID_ARGUMENT)
        << wrong.Wait().error_message();
  }
  Holding right(*sessions, handle);
  EXPECT_TRUE(right.Hold());
  Close(handle);
}

// The resume window

TEST_F(HoldersTest, LostStreamsSessionWaitsForItsClientWithinTheResumeWindow) {
  ServeWith(kLong);
  Opening opening(*sessions, State("a"));
  EXPECT_EQ(GetBy(opening.handle(), "x"), "miss a:x");
  opening.Cancel();  // which is what a lost connection looks like
  opening.Wait();
  EXPECT_EQ(GetBy(opening.handle(), "x"), "hit a:x");
  std::optional<Holding> again(std::in_place, *sessions, opening.handle());
  ASSERT_TRUE(again->Hold());
  EXPECT_EQ(GetBy(opening.handle(), "x"), "hit a:x");
  again->Cancel();
  again->Wait();
  EXPECT_TRUE(Soon([this] { return Gauges().holders(); }, 0));
  EXPECT_EQ(GetBy(opening.handle(), "x"), "hit a:x") << "and again, as often as it is lost";
  again.emplace(*sessions, opening.handle());
  ASSERT_TRUE(again->Hold());
  Close(opening.handle());
  EXPECT_TRUE(again->Wait().ok());
  EXPECT_TRUE(AliveSoon("nothing"));
}

TEST_F(HoldersTest, WhoTookItUpWithinTheResumeWindowLetsGoAtOnce) {
  ServeWith(kLong);
  Opening opening(*sessions, State("a"));
  ASSERT_NE(opening.handle(), "");
  opening.Cancel();
  EXPECT_TRUE(Soon([this] { return Gauges().leases(); }, 1));
  Holding again(*sessions, opening.handle());
  ASSERT_TRUE(again.Hold());
  again.HalfClose();
  EXPECT_TRUE(again.Wait().ok());
  EXPECT_TRUE(AliveSoon("nothing"));
}

TEST_F(HoldersTest, SessionIsClosedWhenTheResumeWindowIsOver) {
  ServeWith(milliseconds(200));
  Opening opening(*sessions, State("a"));
  EXPECT_EQ(GetBy(opening.handle(), "x"), "miss a:x");
  opening.Cancel();
  EXPECT_TRUE(AliveSoon("nothing"));
}

TEST_F(HoldersTest, AdministratorSeesWhoHoldsASession) {
  ServeWith(kLong);
  const auto seen = [this] {
    grpc::ClientContext context;
    memo::v1::ListSessionsResponse listed;
    EXPECT_TRUE(admin->ListSessions(&context, {}, &listed).ok());
    if (listed.sessions_size() != 1) return std::string("not one");
    const memo::v1::SessionInfo& session = listed.sessions(0);
    return absl::StrCat(session.holders(), session.leased() ? " leased" : "",
                        session.resumable() ? " resumable" : "");
  };
  Opening opening(*sessions, State("a"));
  ASSERT_NE(opening.handle(), "");
  EXPECT_EQ(seen(), "1");
  {
    Holding holding(*sessions, opening.handle());
    ASSERT_TRUE(holding.Hold());
    EXPECT_EQ(seen(), "2");
  }
  EXPECT_TRUE(Soon(seen, "1"));
  opening.Cancel();
  EXPECT_TRUE(Soon(seen, "0 resumable"));
  Close(opening.handle());
  const std::string leased = Lease(kLong);
  EXPECT_EQ(seen(), "0 leased");
  Close(leased);
}

// Leases

TEST_F(HoldersTest, LeasedSessionLivesAsLongAsItIsRenewed) {
  ServeWith(Duration::zero());
  const std::string handle = Lease(milliseconds(400));
  EXPECT_EQ(GetBy(handle, "x"), "miss a:x");
  for (const auto end = Clock::now() + milliseconds(1200); Clock::now() < end;) {
    ASSERT_TRUE(Renew(handle).ok());  // as fast as they go
    ASSERT_EQ(GetBy(handle, "x"), "hit a:x");
  }
  const Time last = Clock::now();
  ASSERT_TRUE(Renew(handle).ok());
  EXPECT_TRUE(AliveSoon("nothing"));
  EXPECT_GE(Clock::now() - last, milliseconds(400));
  EXPECT_EQ(Renew(handle).error_code(), StatusCode::NOT_FOUND);
}

TEST_F(HoldersTest, LeasedSessionIsClosedAtOnceByCloseSession) {
  ServeWith(kLong);
  const std::string handle = Lease(kLong);
  EXPECT_EQ(GetBy(handle, "x"), "miss a:x");
  Close(handle);
  EXPECT_EQ(Renew(handle).error_code(), StatusCode::NOT_FOUND);
}

TEST_F(HoldersTest, ManyAreRenewedAtOnceAndThoseThatAreNotAreNamed) {
  ServeWith(Duration::zero());
  Opening held(*sessions, State("b"));
  const std::string own = Lease(kLong), other = Lease(kLong), closed = Lease(kLong);
  Close(closed);
  memo::v1::RenewSessionResponse renewed;
  ASSERT_TRUE(Renew(own, {other, closed, "unknown", other, held.handle()}, &renewed).ok());
  EXPECT_EQ(std::vector<int>(renewed.lost().begin(), renewed.lost().end()),
            (std::vector<int>{1, 2, 4}));
  ASSERT_TRUE(Renew(std::nullopt, {other}, &renewed).ok());
  EXPECT_EQ(renewed.lost_size(), 0);
  EXPECT_EQ(Renew(std::nullopt).error_code(), StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Renew(held.handle()).error_code(), StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Renew("unknown", {other}).error_code(), StatusCode::NOT_FOUND);
  Close(own);
  Close(other);
}

TEST_F(HoldersTest, MoreThanACallMayRenewAreRefused) {
  ServeWith(Duration::zero());
  const std::string own = Lease(kLong);
  std::vector<std::string> many(10'000, own);
  memo::v1::RenewSessionResponse renewed;
  EXPECT_TRUE(Renew(std::nullopt, many, &renewed).ok());
  EXPECT_EQ(renewed.lost_size(), 0);
  many.push_back(own);
  for (const auto& session : {std::optional<std::string>(), std::optional(own)}) {
    const grpc::Status status = Renew(session, many);
    EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(status.error_message(), "there are 10001 handles; want at most 10000 in a call");
  }
  Close(own);
}

TEST_F(HoldersTest, LeasesWithoutASensibleTimeToLiveAreRefused) {
  ServeWith(Duration::zero());
  memo::v1::LeaseSessionResponse leased;
  const std::vector<std::pair<Duration, std::string>> refused = {
      {milliseconds(0), "0"},
      {milliseconds(99), "0.099"},
      {milliseconds(-5000), "-5"},
      {kLong + milliseconds(1), "3600.001"}};
  for (const auto& [ttl, said] : refused) {
    const grpc::Status status = Lease(ttl, &leased);
    EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(status.error_message(),
              absl::StrCat("ttl is ", said, " s; want from 0.1 s to 3600 s (session.max_ttl)"));
  }
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max(), kLeast = -kMost - 1;
  for (const auto& [seconds, nanos, said] : std::vector<std::tuple<int64_t, int32_t, std::string>>{
           {1, -5, "not a valid Duration: seconds 1, nanos -5"},
           {1, 1'000'000'000, "not a valid Duration: seconds 1, nanos 1000000000"},
           {-1, 5, "not a valid Duration: seconds -1, nanos 5"},
           {kMost, -1, "not a valid Duration: seconds 9223372036854775807, nanos -1"},
           {kLeast, 0, "-9.22337203685e+18 s; want from 0.1 s to 3600 s (session.max_ttl)"},
           {kMost, 1, "9.22337203685e+18 s; want from 0.1 s to 3600 s (session.max_ttl)"}}) {
    grpc::ClientContext context;
    memo::v1::LeaseSessionRequest hostile;
    hostile.mutable_ttl()->set_seconds(seconds);
    hostile.mutable_ttl()->set_nanos(nanos);
    const grpc::Status status = sessions->LeaseSession(&context, hostile, &leased);
    EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(status.error_message(), absl::StrCat("ttl is ", said));
  }
  EXPECT_TRUE(Lease(milliseconds(100), &leased).ok());
  EXPECT_TRUE(AliveSoon("nothing"));
}

TEST_F(HoldersTest, LeasesEndWithTheServerOfWhichRenewalsTell) {
  ServeWith(kLong);
  const std::string handle = Lease(kLong);
  EXPECT_EQ(GetBy(handle, "x"), "miss a:x");
  lab.On("slow", [this](Computing&) {
    lab.gate("slow").Pass();
    return "done";
  });
  Told slow;
  std::thread call([&] { slow = Ask(handle, Request("slow")); });
  ASSERT_TRUE(lab.gate("slow").AwaitArrived());
  Holding holding(*sessions, handle);
  ASSERT_TRUE(holding.Hold());
  memo::v1::RenewSessionResponse renewed;
  EXPECT_TRUE(Renew(handle, {}, &renewed).ok());
  EXPECT_FALSE(renewed.draining());
  std::thread drain([this] { server->Drain(); });
  const auto told = holding.Read();
  EXPECT_TRUE(told && told->has_draining());
  EXPECT_TRUE(Renew(handle, {}, &renewed).ok());
  EXPECT_TRUE(renewed.draining());
  EXPECT_TRUE(Renew(std::nullopt, {handle}, &renewed).ok());
  EXPECT_TRUE(renewed.draining());
  EXPECT_EQ(GetBy(handle, "x"), "hit a:x") << "what is leased stays so";
  lab.gate("slow").Open();
  call.join();
  EXPECT_EQ(slow.Words(), "miss done");
  EXPECT_EQ(holding.Wait().error_code(), StatusCode::UNAVAILABLE);
  drain.join();
  StopServer();
  EXPECT_EQ(lab.instances(), 0);
}

}  // namespace
}  // namespace memod
