// Starting, health, and going out of service.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "memod/tests/testing/holding.h"
#include "memod/tests/testing/server_test.h"

namespace memod {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using testing::HasSubstr;

constexpr const char* kServices[] = {"", "memo.testing.v1.Probe", "memo.examples.v1.SlowAdder",
                                     "memo.examples.v1.Dataset"};

class LifecycleTest : public ServerTest {
 protected:
  // The name of what the health service says, or of the error.
  std::string Health(const std::string& service) {
    HealthCheckRequest request;
    request.set_service(service);
    HealthCheckResponse response;
    grpc::ClientContext context;
    const auto stub = grpc::health::v1::Health::NewStub(client->channel());
    const grpc::Status status = stub->Check(&context, request, &response);
    if (!status.ok()) return absl::StrCat("error ", status.error_code());
    return HealthCheckResponse::ServingStatus_Name(response.status());
  }
  // A [[method]] section of a configuration.
  static MethodConfig Section(const std::string& name) {
    MethodConfig section;
    section.name = name;
    section.where = "memod.toml:7";
    return section;
  }
  static std::string StartError(const Config& config, const Registry& registry) {
    const auto started = Server::Start(config, registry);
    return started.ok() ? "it started" : started.status().ToString();
  }
};

TEST_F(LifecycleTest, ServingIsHealthyAsAWholeAndForEachHostedService) {
  Serve();
  for (const char* service : kServices) EXPECT_EQ(Health(service), "SERVING") << service;
  EXPECT_EQ(Health("nope.Nope"), absl::StrCat("error ", grpc::StatusCode::NOT_FOUND));
}

TEST_F(LifecycleTest, DrainingLetsCallsEndTellsTheHoldersAndTurnsAwayNewSessions) {
  Serve();
  ClientOptions once;
  once.reconnect_timeout = std::chrono::milliseconds::zero();
  client = Client::Connect(target(), once).value();
  std::promise<void> draining;
  std::promise<absl::Status> lost;
  SessionHandle session = Open("a", {.draining = [&] { draining.set_value(); },
                                     .lost = [&](const auto& why) { lost.set_value(why); }});
  lab.On("slow", [&](Computing&) {
    lab.gate("slow").Pass();
    return "done";
  });
  Get(session, "x");
  Call& slow = Start(session, "slow");
  ASSERT_TRUE(lab.gate("slow").AwaitArrived());

  std::thread drain([&] { server->Drain(); });
  draining.get_future().get();
  EXPECT_TRUE(session.draining());
  for (const char* service : kServices) EXPECT_EQ(Health(service), "NOT_SERVING") << service;
  EXPECT_EQ(client->OpenSession(State("b")).status().code(), absl::StatusCode::kUnavailable);
  memo::v1::LeaseSessionRequest lease;
  lease.mutable_ttl()->set_seconds(60);
  memo::v1::LeaseSessionResponse leased;
  grpc::ClientContext leasing;
  EXPECT_EQ(sessions->LeaseSession(&leasing, lease, &leased).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  Holding late(*sessions, session.handle());
  ASSERT_TRUE(late.Hold()) << "what is open stays so";
  const auto told = late.Read();
  EXPECT_TRUE(told.has_value() && told->has_draining());
  EXPECT_EQ(Get(session, "x"), "hit a:x");
  EXPECT_EQ(Get(session, "y"), "miss a:y") << "calls still work";
  EXPECT_TRUE(session.status().ok());
  EXPECT_FALSE(slow.done());

  lab.gate("slow").Open();
  EXPECT_EQ(slow.Words(), "miss done");
  EXPECT_EQ(lost.get_future().get().code(), absl::StatusCode::kUnavailable);
  drain.join();
  StopServer();
  EXPECT_EQ(lab.instances(), 0);
}

TEST_F(LifecycleTest, SessionWhoseOpeningADrainOvertakesIsTurnedAway) {
  Serve();
  lab.OnOpen("slow", [&] {
    lab.gate("open").Pass();
    return absl::OkStatus();
  });
  lab.On("busy", [&](Computing&) {
    lab.gate("busy").Pass();
    return "done";
  });
  std::promise<void> told;
  const SessionHandle session = Open("a", {.draining = [&] { told.set_value(); }, .lost = nullptr});
  Call& busy = Start(session, "busy");
  ASSERT_TRUE(lab.gate("busy").AwaitArrived());
  auto opening = std::async(std::launch::async, [&] { return client->OpenSession(State("slow")); });
  ASSERT_TRUE(lab.gate("open").AwaitArrived());
  std::thread drain([&] { server->Drain(); });
  told.get_future().get();
  lab.gate("open").Open();
  const absl::Status opened = opening.get().status();
  EXPECT_EQ(opened.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(opened.message()), HasSubstr("open the session elsewhere"));
  lab.gate("busy").Open();
  EXPECT_EQ(busy.Words(), "miss done");
  drain.join();
  StopServer();
}

TEST_F(LifecycleTest, DrainWaitsForAStateThatIsBeingChanged) {
  Serve();
  SessionHandle session = Open("a");
  lab.OnOpen("slow", [&] {
    lab.gate("open").Pass();
    return absl::OkStatus();
  });
  auto update = std::async(std::launch::async, [&] { return session.UpdateState(State("slow")); });
  ASSERT_TRUE(lab.gate("open").AwaitArrived());
  std::atomic<bool> drained = false;
  std::thread drain([&] {
    server->Drain();
    drained = true;
  });
  // Longer than without a call.
  const Time later = Clock::now() + std::chrono::milliseconds(1500);
  EXPECT_TRUE(Soon([&] { return Clock::now() > later; }, true));
  EXPECT_FALSE(drained);
  lab.gate("open").Open();
  EXPECT_TRUE(update.get().ok());
  drain.join();
  StopServer();
}

TEST_F(LifecycleTest, DrainCutsOffWhatTakesLongerThanItsTimeout) {
  ServeOptions options;
  options.config.server.drain_timeout = std::chrono::milliseconds(50);
  Serve(options);
  const SessionHandle session = Open("a");
  lab.On("stuck", [](Computing& c) -> absl::StatusOr<std::string> {
    EXPECT_TRUE(c.AwaitCancelled());
    return absl::CancelledError();
  });
  Call& stuck = *StartMany(session, "stuck", 1)[0];
  server->Drain();
  EXPECT_FALSE(stuck.Wait().status.ok());
  StopServer();
  EXPECT_EQ(lab.instances(), 0);
}

TEST_F(LifecycleTest, CallsThatADrainDropsFromTheQueueSaySo) {
  ServeOptions options;
  options.config.compute.threads = 1;
  options.config.server.drain_timeout = std::chrono::milliseconds(50);
  Serve(options);
  const SessionHandle session = Open("a");
  lab.On("busy", [&](Computing&) {
    lab.gate("busy").Pass();
    return "done";
  });
  Call& busy = Start(session, "busy");
  ASSERT_TRUE(lab.gate("busy").AwaitArrived());
  std::vector<Call*> dropped = StartMany(session, "queued", 2);  // a leader, and who waits with it
  dropped.push_back(&StartBytes(std::nullopt, Request("queued"), {.method = kShared}));
  EXPECT_TRUE(Soon([&] { return Gauges().queued(); }, 2));
  server->Drain();
  for (Call* call : dropped) EXPECT_EQ(call->Words(), "UNAVAILABLE DRAINING");
  EXPECT_EQ(busy.Words(), "ABORTED SESSION_CLOSED");
  lab.OpenGates();
  StopServer();
  EXPECT_EQ(lab.computed("queued"), 0);
}

TEST_F(LifecycleTest, TakenPortIsNamedWithItsKey) {
  Serve();
  Registry registry;
  Config config = TestConfig();
  config.server.listen = absl::StrCat("127.0.0.1:", server->port());
  EXPECT_EQ(StartError(config, registry),
            absl::StrCat("UNAVAILABLE: server.listen: cannot listen on ", config.server.listen,
                         ": Address already in use"));
  config = TestConfig();
  config.admin.listen = absl::StrCat("127.0.0.1:", server->admin_port());
  EXPECT_THAT(StartError(config, registry),
              HasSubstr(absl::StrCat("admin.listen: cannot listen on ", config.admin.listen)));
  EXPECT_EQ(Get(Open("a"), "x"), "miss a:x") << "the one that is there goes on";
}

TEST_F(LifecycleTest, MethodSectionWithoutSuchAMethodStopsTheStart) {
  Registry registry;
  RegisterProbe(registry);
  Config config = TestConfig();
  config.methods.push_back(Section("/memo.testing.v1.Probe/Nope"));
  EXPECT_EQ(StartError(config, registry),
            "INVALID_ARGUMENT: memod.toml:7: no hosted method is called "
            "/memo.testing.v1.Probe/Nope");
}

TEST_F(LifecycleTest, MethodSectionGoesOverThePolicyInCode) {
  ServeOptions options = MaxEntries(5);
  options.config.methods.push_back(Section(kCompute));
  options.config.methods.back().max_entries = std::optional<int64_t>(2);
  Serve(options);
  const SessionHandle session = Open("a");
  for (const char* key : {"1", "2", "3"}) Get(session, key);
  EXPECT_EQ(Info(session), "misses 3, computations 3, evictions 1, currsize 2");
  EXPECT_EQ(CacheInfoOf(session, kCompute).maxsize(), 2);
}

TEST_F(LifecycleTest, TwoServersInOneProcessKnowNothingOfOneAnother) {
  Serve();
  const SessionHandle session = Open("a");
  Get(session, "x");
  Registry registry;
  RegisterProbe(registry);
  auto other = Server::Start(TestConfig(), registry).value();
  const auto other_client = Client::Connect(absl::StrCat("127.0.0.1:", other->port())).value();
  EXPECT_EQ(Call(other_client.channel(), session.handle(), Request("x")).Words(),
            "NOT_FOUND SESSION_NOT_FOUND");
  other.reset();
  EXPECT_EQ(Get(session, "x"), "hit a:x");
}

}  // namespace
}  // namespace memod
