// A client's sessions on several servers, one of which stops.
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "memo/examples/v1/slow_adder.grpc.pb.h"
#include "memod/client/client.h"
#include "memod/server/examples/examples.h"
#include "memod/server/server.h"
#include "memod/tests/testing/server_test.h"
#include "memod/tests/testing/soon.h"

namespace memod {
namespace {

using memo::examples::v1::SlowAdder;

class MovingTest : public testing::Test {
 protected:
  MovingTest() {
    examples::Register(registry_);
    for (auto& server : servers_) server = Server::Start(TestConfig(), registry_).value();
  }

  static std::string Address(const Server& server) {
    return absl::StrCat("127.0.0.1:", server.port());
  }
  Client Connect(ClientOptions options = {}) {
    return Client::Connect({Address(*servers_[0]), Address(*servers_[1])}, std::move(options))
        .value();
  }
  static memo::examples::v1::SlowAdderState Slow(int milliseconds) {
    memo::examples::v1::SlowAdderState state;
    state.mutable_delay()->set_nanos(milliseconds * 1'000'000);
    return state;
  }
  static grpc::Status Add(SlowAdder::Stub& adder, int64_t number) {
    grpc::ClientContext context;
    memo::examples::v1::CalculateRequest request;
    request.add_numbers(number);
    memo::examples::v1::CalculateResponse response;
    const grpc::Status status = adder.Calculate(&context, request, &response);
    EXPECT_EQ(response.sum(), status.ok() ? number : 0);
    return status;
  }
  // The sessions on a server.
  static int64_t SessionsOn(const Server& server) {
    const auto admin = memo::v1::AdminService::NewStub(grpc::CreateChannel(
        absl::StrCat("127.0.0.1:", server.admin_port()), grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    memo::v1::AdminServiceGetCacheInfoResponse response;
    EXPECT_TRUE(admin->GetCacheInfo(&context, {}, &response).ok());
    return response.gauges().sessions();
  }

  Registry registry_;
  std::unique_ptr<Server> servers_[2];
};

TEST_F(MovingTest, SessionsBeginOnTheServersInTurn) {
  const Client client = Connect();
  std::vector<SessionHandle> sessions;
  for (int i = 0; i < 4; ++i) sessions.push_back(client.OpenSession(Slow(0)).value());
  EXPECT_EQ(SessionsOn(*servers_[0]), 2);
  EXPECT_EQ(SessionsOn(*servers_[1]), 2);
}

TEST_F(MovingTest, OneServerThatIsThereIsEnough) {
  const std::string away = Address(*servers_[0]);
  servers_[0].reset();
  const auto client = Client::Connect({away, Address(*servers_[1])});
  ASSERT_TRUE(client.ok()) << client.status();
  std::vector<SessionHandle> sessions;
  for (int i = 0; i < 4; ++i) sessions.push_back(client->OpenSession(Slow(0)).value());
  EXPECT_EQ(SessionsOn(*servers_[1]), 4);
  EXPECT_EQ(Client::Connect(std::vector<std::string>()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(MovingTest, NoCallFailsWhenAServerDrains) {
  const Client client = Connect();
  std::vector<SessionHandle> sessions;
  for (int i = 0; i < 4; ++i) sessions.push_back(client.OpenSession(Slow(1)).value());
  std::atomic<bool> stop = false;
  std::atomic<int64_t> calls = 0, failed = 0;
  std::vector<std::thread> callers;
  for (const SessionHandle& session : sessions) {
    callers.emplace_back([&] {
      const auto adder = SlowAdder::NewStub(session.channel());
      for (int64_t number = 0; !stop; ++number, ++calls) {
        const grpc::Status status = Add(*adder, number);
        if (!status.ok()) ++failed;
        EXPECT_TRUE(status.ok()) << status.error_code() << " " << status.error_message();
      }
    });
  }
  EXPECT_TRUE(Soon([&] { return calls > 100; }, true));
  servers_[0]->Drain();
  servers_[0].reset();
  const int64_t before = calls;
  EXPECT_TRUE(Soon([&] { return calls > before + 100; }, true));
  stop = true;
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(failed, 0) << "of " << calls;
  EXPECT_EQ(SessionsOn(*servers_[1]), 4);
}

TEST_F(MovingTest, CallsUnderWayEndWhereTheyAre) {
  const Client client = Connect();
  absl::Notification moved;
  SessionEvents events;
  events.reopened = [&] { moved.Notify(); };
  auto session = std::make_unique<SessionHandle>(client.OpenSession(Slow(500), events).value());
  const bool on_first = SessionsOn(*servers_[0]) == 1;
  Server& former = *servers_[on_first ? 0 : 1];
  const auto adder = SlowAdder::NewStub(session->channel());
  std::thread caller([&] { EXPECT_TRUE(Add(*adder, 7).ok()); });
  EXPECT_TRUE(Soon([&] { return session->GetCacheInfo()->total().misses(); }, 1));
  const std::string before = session->handle();
  std::thread drain([&] { former.Drain(); });
  EXPECT_TRUE(moved.WaitForNotificationWithTimeout(absl::FromChrono(kPatience)));
  EXPECT_NE(session->handle(), before);
  EXPECT_FALSE(session->draining());
  caller.join();
  drain.join();
  EXPECT_TRUE(session->status().ok());
  session.reset();
  Server& other = *servers_[on_first ? 1 : 0];
  EXPECT_TRUE(Soon([&] { return SessionsOn(other); }, 0));
}

TEST_F(MovingTest, SessionOfAServerThatIsGoneIsOpenedOnAnother) {
  const Client client = Connect();
  absl::Notification moved[2];
  std::vector<SessionHandle> sessions;
  for (absl::Notification& each : moved) {
    SessionEvents events;
    events.reopened = [&] { each.Notify(); };
    sessions.push_back(client.OpenSession(Slow(0), events).value());
  }
  servers_[0].reset();  // at once
  EXPECT_TRUE(Soon([&] { return SessionsOn(*servers_[1]); }, 2));
  EXPECT_TRUE(Soon([&] { return moved[0].HasBeenNotified() != moved[1].HasBeenNotified(); }, true));
  for (const SessionHandle& session : sessions)
    EXPECT_TRUE(Add(*SlowAdder::NewStub(session.channel()), 1).ok());
}

}  // namespace
}  // namespace memod
