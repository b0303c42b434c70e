// The life of a session: what holds it, what closes it, and what that releases.
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memod/server/logging.h"
#include "memod/tests/testing/server_test.h"

namespace memod {
namespace {

using memo::v1::OpenSessionRequest;
using memo::v1::OpenSessionResponse;

class SessionsTest : public ServerTest {
 protected:
  // A session with two entries and a computation under way, for which a caller waits.
  std::optional<SessionHandle> OpenBusy(SessionEvents events = {}) {
    lab.On("busy", [this](Computing& c) -> absl::StatusOr<std::string> {
      lab.gate("busy").Pass();
      EXPECT_TRUE(c.AwaitCancelled());
      return "late";
    });
    lab.gate("busy").Open();
    std::optional<SessionHandle> session = Open("a", std::move(events));
    Get(*session, "x");
    Get(*session, "y", {.method = kOther});
    waiting = &Start(*session, "busy");
    EXPECT_TRUE(lab.gate("busy").AwaitArrived());
    return session;
  }
  // As lost tells it.
  static SessionEvents Lost(std::promise<absl::Status>& lost) {
    return {.draining = nullptr, .lost = [&lost](const absl::Status& why) { lost.set_value(why); }};
  }
  grpc::Status AdminClose(const std::string& id, memo::v1::ReleaseReceipt* receipt = nullptr) {
    memo::v1::AdminServiceCloseSessionRequest request;
    request.set_session_id(id);
    memo::v1::AdminServiceCloseSessionResponse response;
    grpc::ClientContext context;
    const grpc::Status status = admin->CloseSession(&context, request, &response);
    if (receipt != nullptr) *receipt = response.receipt();
    return status;
  }
  void ExpectAllReleased() {
    EXPECT_EQ(waiting->Words(), "ABORTED SESSION_CLOSED");
    EXPECT_TRUE(AliveSoon("nothing"));
    EXPECT_EQ(lab.instances(), 0);
  }

  Call* waiting = nullptr;
};

// Closed by: each of them releases everything.

TEST_F(SessionsTest, DroppingTheHandleReleasesAll) {
  Serve();
  auto session = OpenBusy();
  EXPECT_TRUE(AliveSoon("sessions 1, instances 1, flights 1, entries 2"));
  session.reset();
  ExpectAllReleased();
}

TEST_F(SessionsTest, CancellingTheStreamReleasesAll) {
  Serve();
  grpc::ClientContext context;
  OpenSessionRequest request;
  request.mutable_state()->PackFrom(State("a"));
  const auto stream = sessions->OpenSession(&context, request);
  OpenSessionResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(Ask(response.opened().handle(), Request("x")).Words(), "miss a:x");
  EXPECT_TRUE(AliveSoon("sessions 1, instances 1, entries 1"));
  context.TryCancel();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(AliveSoon("nothing"));
}

TEST_F(SessionsTest, CloseSessionReleasesAllAndSaysWhat) {
  Serve();
  auto session = OpenBusy();
  const int64_t bytes = AdminInfo().gauges().bytes();
  const auto receipt = session->Close();
  ASSERT_TRUE(receipt.ok());
  EXPECT_EQ(receipt->entries(), 2);
  EXPECT_EQ(receipt->bytes(), bytes);
  EXPECT_GT(receipt->compute_seconds(), 0);
  ExpectAllReleased();
  EXPECT_FALSE(session->Close().ok());
}

TEST_F(SessionsTest, AdministratorsCloseReleasesAllAndTellsTheHolder) {
  Serve();
  std::promise<absl::Status> lost;
  auto session = OpenBusy(Lost(lost));
  memo::v1::ReleaseReceipt receipt;
  ASSERT_TRUE(AdminClose(session->id(), &receipt).ok());
  EXPECT_EQ(receipt.entries(), 2);
  ExpectAllReleased();
  EXPECT_EQ(lost.get_future().get().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(AdminClose(session->id()).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(SessionsTest, ServerShutdownClosesSessionsAndTellsTheHolders) {
  Serve();
  ClientOptions options;
  options.reconnect_timeout = std::chrono::milliseconds::zero();
  client = Client::Connect(target(), options).value();
  std::promise<absl::Status> lost;
  auto session = OpenBusy(Lost(lost));
  StopServer();
  EXPECT_EQ(lost.get_future().get().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(waiting->Wait().status.ok());
  EXPECT_EQ(lab.instances(), 0);
}

TEST_F(SessionsTest, ConnectionThatBreaksReleasesAllOfItsSessions) {
  Serve();
  auto breaking = std::make_unique<Client>(Client::Connect(target()).value());
  std::vector<SessionHandle> open;
  for (int i = 0; i < 20; ++i) {
    open.push_back(breaking->OpenSession(State(absl::StrCat(i))).value());
    Get(open.back(), "x");
  }
  EXPECT_TRUE(AliveSoon("sessions 20, instances 20, entries 20"));
  open.clear();
  breaking.reset();
  EXPECT_TRUE(AliveSoon("nothing"));
}

TEST_F(SessionsTest, ClosingIsToldWithAReceiptToTheLog) {
  Serve();
  SessionHandle session = Open("a");
  Get(session, "x");
  InitLogging(LogLevel::info, LogFormat::kText);
  testing::internal::CaptureStderr();
  const auto receipt = session.Close();
  const std::string log = testing::internal::GetCapturedStderr();
  InitLogging(LogLevel::off, LogFormat::kText);
  ASSERT_TRUE(receipt.ok());
  EXPECT_NE(log.find(absl::StrCat("session closed session=", session.id(),
                                  " reason=\"closed by client\" entries=1 bytes=", receipt->bytes(),
                                  " compute_seconds=")),
            std::string::npos)
      << log;
  EXPECT_EQ(log.find(session.handle()), std::string::npos) << "a handle is a secret";
}

TEST_F(SessionsTest, ClientGoneWhileItsInstanceIsBeingMadeLeavesNothing) {
  Serve();
  lab.OnOpen("slow", [&] {
    lab.gate("open").Pass();
    return absl::OkStatus();
  });
  grpc::ClientContext context;
  OpenSessionRequest request;
  request.mutable_state()->PackFrom(State("slow"));
  const auto stream = sessions->OpenSession(&context, request);
  ASSERT_TRUE(lab.gate("open").AwaitArrived());
  context.TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(Ask(std::nullopt, "", {.method = kStatic}).Words(), "miss ");  // it came in before
  lab.gate("open").Open();
  EXPECT_TRUE(AliveSoon("entries 1"));
  EXPECT_EQ(lab.instances(), 0);
}

// Handles

TEST_F(SessionsTest, ClosedUnknownAndMalformedHandlesAreToldTheVerySame) {
  Serve();
  SessionHandle session = Open("a");
  const std::string closed = session.handle();
  ASSERT_TRUE(session.Close().ok());
  const SessionHandle other = Open("b");
  std::string unknown = other.handle();
  unknown[0] = unknown[0] == 'A' ? 'B' : 'A';
  const Told expected = Ask(closed, Request("x"));
  EXPECT_EQ(expected.Words(), "NOT_FOUND SESSION_NOT_FOUND");
  for (const std::string& handle : {unknown, std::string(), std::string("?"), other.handle() + "x",
                                    other.id(), other.handle().substr(1), std::string(5000, 'x')}) {
    for (const char* method : {kCompute, kShared, kStatic}) {
      const Told told = Ask(handle, Request("x"), {.method = method});
      EXPECT_EQ(told.status.error_code(), expected.status.error_code());
      EXPECT_EQ(told.status.error_message(), expected.status.error_message());
      EXPECT_EQ(told.trailers, expected.trailers) << handle;
      EXPECT_EQ(told.metadata, expected.metadata);
    }
  }
  EXPECT_TRUE(AliveSoon("sessions 1, instances 1")) << "none of them is a new session";
  EXPECT_EQ(lab.computed("x"), 0);
}

TEST_F(SessionsTest, SessionServiceTellsTheSameForAHandleThatIsNone) {
  Serve();
  SessionHandle session = Open("a");
  const std::string closed = session.handle();
  ASSERT_TRUE(session.Close().ok());
  const auto expected = Ask(closed, Request("x"));
  for (const char* rpc : {"UpdateState", "CloseSession", "ClearCache", "GetCacheInfo"}) {
    for (const std::string& handle : {closed, std::string("?")}) {
      const CallOptions options{.method = absl::StrCat("/memo.v1.SessionService/", rpc)};
      const Told told = Ask(handle, "", options);
      EXPECT_EQ(told.Words(), "NOT_FOUND SESSION_NOT_FOUND") << rpc;
      EXPECT_EQ(told.status.error_message(), expected.status.error_message());
      EXPECT_EQ(told.trailers, expected.trailers);
    }
  }
}

// Totals

TEST_F(SessionsTest, TotalsKeepTheHistoryOfClosedSessionsAndGaugesDoNot) {
  Serve();
  const SessionHandle stays = Open("stays");
  Get(stays, "x");
  {
    SessionHandle goes = Open("goes");
    for (int i = 0; i < 3; ++i) Get(goes, "x");
    EXPECT_TRUE(goes.UpdateState(State("other")).ok());
    Get(goes, "x");
    EXPECT_EQ(Total(), "hits 2, misses 3, computations 3, currsize 2");
    EXPECT_TRUE(goes.Close().ok());
  }
  EXPECT_EQ(Total(), "hits 2, misses 3, computations 3, currsize 1");
  EXPECT_TRUE(AliveSoon("sessions 1, instances 1, entries 1"));
}

TEST_F(SessionsTest, TotalsNeverDipWhileSessionsComeAndGo) {
  Serve();
  std::atomic<bool> done = false;
  std::vector<std::thread> clients;
  for (int t = 0; t < 3; ++t) {
    clients.emplace_back([&] {
      while (!done) {
        SessionHandle session = Open("a");
        Get(session, "x");
        Get(session, "x");
        if (!session.UpdateState(State("b")).ok()) return;
        Get(session, "x");
      }
    });
  }
  memo::v1::CacheInfo last;
  for (int i = 0; i < 300; ++i) {
    const memo::v1::CacheInfo total = AdminInfo("", kCompute).total();
    EXPECT_GE(total.hits(), last.hits());
    EXPECT_GE(total.misses(), last.misses());
    EXPECT_GE(total.computations(), last.computations());
    EXPECT_GE(total.compute_seconds_saved(), last.compute_seconds_saved());
    last = total;
  }
  done = true;
  for (std::thread& client : clients) client.join();
  const auto total = AdminInfo("", kCompute).total();
  EXPECT_EQ(total.misses(), 2 * total.hits());
}

TEST_F(SessionsTest, ClearOfEverythingStartsTheTotalsAnew) {
  Serve();
  const SessionHandle a = Open("a");
  { Get(Open("gone"), "x"); }
  Get(a, "x");
  grpc::ClientContext context;
  memo::v1::AdminServiceClearCacheRequest request;
  request.set_method(kCompute);
  memo::v1::AdminServiceClearCacheResponse response;
  ASSERT_TRUE(admin->ClearCache(&context, request, &response).ok());
  EXPECT_EQ(response.receipt().entries(), 1);
  EXPECT_EQ(Total(), "currsize 0");
  EXPECT_EQ(Info(a), "currsize 0");
  EXPECT_EQ(Get(a, "x"), "miss a:x");
  EXPECT_EQ(Total(), "misses 1, computations 1, currsize 1");
}

TEST_F(SessionsTest, ClearOfOneSessionLeavesTheTotals) {
  Serve();
  SessionHandle a = Open("a");
  Get(a, "x");
  EXPECT_TRUE(a.ClearCache().ok());
  EXPECT_EQ(Info(a), "currsize 0");
  EXPECT_EQ(Total(), "misses 1, computations 1, currsize 0");
}

// State

TEST_F(SessionsTest, UpdateStateThatFailsLeavesTheSessionAsItWas) {
  Serve();
  SessionHandle session = Open("a");
  Get(session, "x");
  lab.OnOpen("refused", [] { return absl::OutOfRangeError("not this one"); });
  lab.OnOpen("throws", []() -> absl::Status { throw std::runtime_error("boom"); });
  EXPECT_EQ(session.UpdateState(State("refused")).status(), absl::OutOfRangeError("not this one"));
  EXPECT_EQ(session.UpdateState(State("throws")).status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(session.UpdateState(memo::v1::Draining()).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Get(session, "x"), "hit a:x");
  EXPECT_EQ(Info(session), "hits 1, misses 1, computations 1, currsize 1");
  EXPECT_EQ(lab.instances(), 1);
}

TEST_F(SessionsTest, FactorysErrorIsToldUnchangedAndOpensNothing) {
  Serve();
  lab.OnOpen("refused", [] { return absl::OutOfRangeError("not this one"); });
  lab.OnOpen("throws", []() -> absl::Status { throw std::runtime_error("boom"); });
  EXPECT_EQ(client->OpenSession(State("refused")).status(), absl::OutOfRangeError("not this one"));
  EXPECT_EQ(client->OpenSession(State("throws")).status(),
            absl::InternalError("memo.testing.v1.Probe threw: boom"));
  EXPECT_TRUE(AliveSoon("nothing"));
}

// A million entries: cache/ shows that closing only unlinks them. Here: nobody waits for it.
TEST_F(SessionsTest, ClosingALargeSessionStallsNobody) {
  Serve(MaxEntries(std::nullopt));
  std::optional<SessionHandle> large = Open("large");
  const SessionHandle small = Open("small");
  for (int i = 0; i < 5'000; ++i) Get(*large, absl::StrCat(i));
  Get(small, "x");
  EXPECT_EQ(large->Close().value().entries(), 5'000);
  EXPECT_EQ(AdminInfo().gauges().entries(), 1) << "at once, whenever their memory is freed";
  EXPECT_EQ(Get(small, "x"), "hit small:x");
}

}  // namespace
}  // namespace memod
