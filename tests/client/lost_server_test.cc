// A server in a process of its own, that dies or falls silent.
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <utility>

#include "absl/synchronization/notification.h"
#include "memod/client/client.h"
#include "memod/tests/client/fake_server.h"
#include "memod/tests/client/process.h"

namespace memod {
namespace {

class LostServerTest : public testing::Test {
 protected:
  // A session whose loss is waited for with AwaitLoss.
  SessionHandle Open(ClientOptions options = {}) {
    options.reconnect_timeout = std::chrono::milliseconds::zero();
    SessionEvents events;
    events.lost = [this](const absl::Status& status) {
      why_ = status;
      lost_.Notify();
    };
    return Client::Connect(address_, std::move(options)).value().OpenSession(events).value();
  }
  absl::StatusCode AwaitLoss() {
    if (!lost_.WaitForNotificationWithTimeout(absl::FromChrono(kPatience)))
      return absl::StatusCode::kOk;
    return why_.code();
  }

  Process server_{{FAKE_SERVER}};
  const std::string address_ = server_.ReadLine();

 private:
  absl::Notification lost_;
  absl::Status why_;
};

TEST_F(LostServerTest, KilledServerIsNoticed) {
  const SessionHandle session = Open();
  server_.Kill(SIGKILL);
  EXPECT_EQ(AwaitLoss(), absl::StatusCode::kUnavailable);
}

TEST_F(LostServerTest, FrozenServerIsNoticedByKeepalive) {
  ClientOptions options;
  options.keepalive_time = std::chrono::seconds(1);
  options.keepalive_timeout = std::chrono::milliseconds(500);
  const SessionHandle session = Open(options);
  server_.Kill(SIGSTOP);
  EXPECT_EQ(AwaitLoss(), absl::StatusCode::kUnavailable);
}

// No other part of this process keeps gRPC's callback threads here, so letting go of the last
// session would end them, on one of them.
TEST_F(LostServerTest, LastSessionOfTheProcessMayEndByItself) {
  for (int i = 0; i < 100; ++i) {
    SessionHandle session = Client::Connect(address_).value().OpenSession().value();
    EXPECT_TRUE(session.GetCacheInfo().ok());
  }
}

}  // namespace
}  // namespace memod
