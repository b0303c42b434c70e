// Limits: one more is RESOURCE_EXHAUSTED, saying which limit and how much there was of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memod/tests/testing/holding.h"
#include "memod/tests/testing/opening.h"
#include "memod/tests/testing/server_test.h"

namespace memod {
namespace {

using testing::HasSubstr;

// Bytes of a ProbeRequest or a ProbeState around a text longer than 127.
constexpr size_t kAround = 3;

class LimitsTest : public ServerTest {
 protected:
  void Block() {
    lab.On("busy", [this](Computing&) {
      lab.gate("busy").Pass();
      return "done";
    });
  }
};

TEST_F(LimitsTest, RequestSize) {
  ServeOptions options;
  options.config.server.max_request_bytes = 1000;
  Serve(options);
  const SessionHandle session = Open("a");
  EXPECT_TRUE(Ask(session.handle(), Request(std::string(1000 - kAround, 'x'))).status.ok());
  const Told told = Ask(session.handle(), Request(std::string(1001 - kAround, 'x')));
  EXPECT_EQ(told.Words(), "RESOURCE_EXHAUSTED LIMIT");
  EXPECT_EQ(told.status.error_message(),
            "the request is 1001 bytes, limit 1000 (server.max_request_bytes)");
  EXPECT_EQ(Info(session), "misses 1, computations 1, currsize 1");
}

TEST_F(LimitsTest, RequestFarBeyondAllSizesIsRefusedToo) {
  ServeOptions options;
  options.config.server.max_request_bytes = 1000;
  options.config.session.max_state_bytes = 1000;
  Serve(options);
  const SessionHandle session = Open("a");
  const Told told = Ask(session.handle(), Request(std::string(10 << 20, 'x')));
  EXPECT_EQ(told.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(Get(session, "x"), "miss a:x");
}

TEST_F(LimitsTest, StateSize) {
  ServeOptions options;
  options.config.session.max_state_bytes = 1000;
  Serve(options);
  SessionHandle session = Open(std::string(1000 - kAround, 'x'));
  const auto too_large = State(std::string(1001 - kAround, 'x'));
  const absl::Status expected =
      absl::ResourceExhaustedError("the state is 1001 bytes, limit 1000 (session.max_state_bytes)");
  EXPECT_EQ(client->OpenSession(too_large).status(), expected);
  EXPECT_EQ(session.UpdateState(too_large).status(), expected);
  EXPECT_TRUE(AliveSoon("sessions 1, instances 1"));
}

TEST_F(LimitsTest, Sessions) {
  ServeOptions options;
  options.config.session.max = 2;
  Serve(options);
  const SessionHandle first = Open("a");
  std::optional<SessionHandle> second = Open("b");
  EXPECT_EQ(client->OpenSession(State("c")).status(),
            absl::ResourceExhaustedError("too many sessions: 2 are open, limit 2 (session.max)"));
  ASSERT_TRUE(second->Close().ok());
  EXPECT_TRUE(client->OpenSession(State("c")).ok());
}

TEST_F(LimitsTest, SessionsOfOnePeer) {
  ServeOptions options;
  options.config.session.max_per_peer = 2;
  Serve(options);
  std::optional<SessionHandle> first = Open("a");
  memo::v1::LeaseSessionRequest request;
  request.mutable_ttl()->set_seconds(3600);
  const auto lease = [&](memo::v1::LeaseSessionResponse& response) {
    grpc::ClientContext context;
    return sessions->LeaseSession(&context, request, &response);
  };
  memo::v1::LeaseSessionResponse leased, refused;
  ASSERT_TRUE(lease(leased).ok());
  const std::string full =
      "too many sessions from ipv4:127.0.0.1: 2 are open, limit 2 (session.max_per_peer)";
  EXPECT_EQ(client->OpenSession(State("c")).status(), absl::ResourceExhaustedError(full));
  EXPECT_EQ(lease(refused).error_message(), full);
  ASSERT_TRUE(first->Close().ok());
  EXPECT_TRUE(client->OpenSession(State("c")).ok()) << "and closed again, with its handle";
  EXPECT_TRUE(AliveSoon("sessions 1"));
  EXPECT_TRUE(client->OpenSession(State("d")).ok());
  grpc::ClientContext context;
  context.AddMetadata("memo-session", leased.handle());
  memo::v1::CloseSessionResponse closed;
  EXPECT_TRUE(sessions->CloseSession(&context, {}, &closed).ok());
}

TEST_F(LimitsTest, HoldersOfASession) {
  ServeOptions options;
  options.config.session.max_holders = 2;
  options.config.session.resume_window = std::chrono::hours(1);
  Serve(options);
  Opening opening(*sessions, State("a"));
  Holding named(*sessions, opening.handle());
  ASSERT_TRUE(named.Hold("name"));
  Holding refused(*sessions, opening.handle());
  EXPECT_FALSE(refused.Hold());
  EXPECT_EQ(refused.Wait().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(refused.Wait().error_message(),
            "too many holders of the session: 2 hold it, limit 2 (session.max_holders)");
  EXPECT_TRUE(AliveSoon("sessions 1, instances 1"));
  Holding again(*sessions, opening.handle());
  ASSERT_TRUE(again.Hold("name")) << "it takes the place of the other";
  EXPECT_EQ(named.Wait().error_code(), grpc::StatusCode::ABORTED);
  // Both are lost, and who comes back finds room.
  opening.Cancel();
  again.Cancel();
  EXPECT_TRUE(Soon([this] { return Gauges().holders(); }, 0));
  Holding back(*sessions, opening.handle());
  ASSERT_TRUE(back.Hold("back"));
  back.HalfClose();
  EXPECT_TRUE(back.Wait().ok());
  EXPECT_TRUE(AliveSoon("nothing"));
}

// Streams that are there, and hold nothing yet.
TEST_F(LimitsTest, StreamsThatHaveYetToSayHold) {
  ServeOptions options;
  options.config.session.max_holders = 2;
  Serve(options);
  Opening opening(*sessions, State("a"));
  Holding first(*sessions, opening.handle());
  std::optional<Holding> second(std::in_place, *sessions, opening.handle());
  EXPECT_TRUE(Soon([this] { return Gauges().reactors(); }, 3));
  Holding refused(*sessions, opening.handle());
  EXPECT_EQ(refused.Wait().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(refused.Wait().error_message(),
            "too many holders of the session: 2 are about to hold it, limit 2 "
            "(session.max_holders)");
  second.reset();
  EXPECT_TRUE(Soon([this] { return Gauges().reactors(); }, 2));
  Holding third(*sessions, opening.handle());
  EXPECT_TRUE(Soon([this] { return Gauges().reactors(); }, 3));
  EXPECT_TRUE(first.Hold());
  first.HalfClose();
  EXPECT_TRUE(first.Wait().ok());
  EXPECT_TRUE(third.Hold());
  EXPECT_EQ(Gauges().holders(), 2);
}

// Of entries, by an LRU bound: the session's own go, and no other's.
TEST_F(LimitsTest, BytesOfASession) {
  const std::string large(10'000, 'x');
  ServeOptions options = MaxEntries(std::nullopt);
  options.config.session.max_bytes = 40'000;
  Serve(options);
  const SessionHandle session = Open("a"), other = Open("b");
  lab.On("alone", [](Computing&) { return std::string(41'000, 'x'); });
  Get(other, "small");
  for (const char* key : {"1", "2", "3"}) {
    lab.On(key, [&](Computing&) { return large; });
    EXPECT_EQ(Get(session, key), "miss " + large);
  }
  EXPECT_EQ(Get(session, "1"), "hit " + large);
  lab.On("4", [&](Computing&) { return large; });
  Get(session, "4", {.method = kOther});  // the bound is over all methods
  EXPECT_EQ(Info(session), "hits 1, misses 3, computations 3, evictions 1, currsize 2");
  EXPECT_EQ(Get(session, "2", {.control = "only-if-cached"}), "FAILED_PRECONDITION NOT_CACHED")
      << "the least recently used";
  EXPECT_LE(AdminInfo(session.id()).total().bytes(), 40'000);
  EXPECT_EQ(Get(session, "alone").size(), 41'005u) << "larger than the bound, and delivered";
  EXPECT_EQ(CacheInfoOf(session, kCompute).too_large(), 1);
  EXPECT_EQ(Get(session, "1"), "hit " + large) << "it evicts nothing";
  EXPECT_EQ(Get(other, "small"), "hit b:small");
  // What all sessions share is no session's.
  EXPECT_EQ(Ask(session.handle(), Request("alone"), {.method = kShared}).bytes.size(), 41'004u);
  EXPECT_EQ(Get(session, "alone", {.method = kShared}).substr(0, 4), "hit ");
}

// However many ask at once, also while instances are being made.
TEST_F(LimitsTest, SessionsThatOpenAtOnce) {
  ServeOptions options;
  options.config.session.max = 3;
  Serve(options);
  lab.OnOpen("slow", [&] {
    lab.gate("open").Pass();
    return absl::OkStatus();
  });
  memo::v1::OpenSessionRequest request;
  request.mutable_state()->PackFrom(State("slow"));
  constexpr int kMany = 8;
  std::vector<grpc::ClientContext> contexts(kMany);
  std::vector<std::unique_ptr<grpc::ClientReader<memo::v1::OpenSessionResponse>>> streams;
  for (auto& context : contexts) streams.push_back(sessions->OpenSession(&context, request));
  EXPECT_TRUE(lab.gate("open").AwaitArrived(kMany));
  lab.gate("open").Open();
  int opened = 0;
  memo::v1::OpenSessionResponse response;
  for (auto& stream : streams) opened += stream->Read(&response);
  EXPECT_EQ(opened, 3);
  EXPECT_TRUE(AliveSoon("sessions 3, instances 3"));
  for (auto& context : contexts) context.TryCancel();
  for (auto& stream : streams) stream->Finish();
}

TEST_F(LimitsTest, ComputeQueue) {
  ServeOptions options;
  options.config.compute.threads = 1;
  options.config.compute.queue = 1;
  Serve(options);
  const SessionHandle session = Open("a");
  Get(session, "known");
  Block();
  Call& running = Start(session, "busy");
  ASSERT_TRUE(lab.gate("busy").AwaitArrived());
  Call& queued = *StartMany(session, "queued", 1)[0];
  EXPECT_TRUE(AliveSoon("sessions 1, instances 1, flights 2, entries 1"));
  const Told told = Ask(session.handle(), Request("refused"));
  EXPECT_EQ(told.Words(), "RESOURCE_EXHAUSTED LIMIT");
  EXPECT_EQ(told.status.error_message(),
            "too many computations: 1 run and 1 wait, limit 1 (compute.queue)");
  EXPECT_EQ(client->OpenSession(State("b")).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Get(session, "known"), "hit a:known") << "which needs no thread";
  lab.gate("busy").Open();
  EXPECT_EQ(running.Words(), "miss done");
  EXPECT_EQ(queued.Words(), "miss a:queued");
  EXPECT_EQ(Get(session, "refused"), "miss a:refused");
  EXPECT_EQ(lab.computed("refused"), 1);
}

TEST_F(LimitsTest, ComputeQueueKeepsNoPlaceForCallersWhoAreGone) {
  ServeOptions options;
  options.config.compute.threads = 1;
  options.config.compute.queue = 1;
  Serve(options);
  const SessionHandle session = Open("a");
  Block();
  Call& running = Start(session, "busy");
  ASSERT_TRUE(lab.gate("busy").AwaitArrived());
  Call& gone = *StartMany(session, "gone", 1)[0];
  EXPECT_TRUE(Soon([this] { return Gauges().queued(); }, 1));
  gone.Cancel();
  EXPECT_TRUE(Soon([this] { return Gauges().waiters(); }, 1));
  Call& next = *StartMany(session, "next", 1)[0];
  EXPECT_TRUE(Soon([this] { return Gauges().waiters(); }, 2)) << "in the other's place";
  lab.gate("busy").Open();
  EXPECT_EQ(running.Words(), "miss done");
  EXPECT_EQ(next.Words(), "miss a:next");
  EXPECT_EQ(lab.computed("gone"), 0);
}

TEST_F(LimitsTest, AnswersMayBeAsLargeAsAClientTakes) {
  Serve();
  const SessionHandle session = Open("a");
  lab.On("large", [](Computing&) { return std::string(3 << 20, 'x'); });
  EXPECT_EQ(Get(session, "large").size(), (3u << 20) + 5);
  EXPECT_EQ(CacheInfoOf(session, kCompute).too_large(), 1);
}

}  // namespace
}  // namespace memod
