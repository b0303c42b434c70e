// Calls on a session while its connection, or its server, is lost: those for which no computation
// can have begun are made again, and no others.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "memod/tests/client/fake_server.h"
#include "memod/tests/testing/scale.h"
#include "memod/tests/testing/server_test.h"
#include "memod/tests/testing/soon.h"
#include "memod/tests/testing/wire.h"
#include "testing/probe.grpc.pb.h"

namespace memod {
namespace {

using grpc::StatusCode;
using memo::testing::v1::ProbeRequest;
using memo::testing::v1::ProbeResponse;
using std::chrono::milliseconds;
using ProbeStub = memo::testing::v1::Probe::Stub;

constexpr Duration kLong = std::chrono::hours(1);

struct ProbeCall {
  explicit ProbeCall(const std::string& key) { request.set_key(key); }

  grpc::ClientContext context;
  ProbeRequest request;
  ProbeResponse response;
  grpc::Status status;
};

// The ways to make a call that gRPC's stubs have.
struct Way {
  const char* name;
  void (*make)(ProbeCall& call, const std::shared_ptr<grpc::ChannelInterface>& channel);
};

void Block(ProbeCall& call, const std::shared_ptr<grpc::ChannelInterface>& channel) {
  call.status = ProbeStub(channel).Compute(&call.context, call.request, &call.response);
}

void CallBack(ProbeCall& call, const std::shared_ptr<grpc::ChannelInterface>& channel) {
  absl::Notification done;
  ProbeStub(channel).async()->Compute(&call.context, &call.request, &call.response,
                                      [&](grpc::Status status) {
                                        call.status = std::move(status);
                                        done.Notify();
                                      });
  done.WaitForNotification();
}

void Queue(ProbeCall& call, const std::shared_ptr<grpc::ChannelInterface>& channel) {
  grpc::CompletionQueue queue;
  const auto reader = ProbeStub(channel).AsyncCompute(&call.context, call.request, &queue);
  reader->Finish(&call.response, &call.status, &call);
  void* tag = nullptr;
  bool ok = false;
  ASSERT_TRUE(queue.Next(&tag, &ok));
  EXPECT_EQ(tag, &call);
}

void CallGenerically(ProbeCall& call, const std::shared_ptr<grpc::ChannelInterface>& channel) {
  grpc::ByteBuffer request, response;
  bool own = false;
  ASSERT_TRUE(
      grpc::SerializationTraits<ProbeRequest>::Serialize(call.request, &request, &own).ok());
  absl::Notification done;
  grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer>(channel).UnaryCall(
      &call.context, kCompute, grpc::StubOptions(), &request, &response, [&](grpc::Status status) {
        call.status = std::move(status);
        done.Notify();
      });
  done.WaitForNotification();
  if (!call.status.ok()) return;
  EXPECT_TRUE(
      grpc::SerializationTraits<ProbeResponse>::Deserialize(&response, &call.response).ok());
}

std::string HowOf(const ProbeCall& call) {
  if (!call.status.ok()) {
    return absl::StrCat(call.status.error_code(), " ", call.status.error_message());
  }
  const auto& metadata = call.context.GetServerInitialMetadata();
  const auto how = metadata.find("memo-cache");
  if (how == metadata.end()) return "no memo-cache";
  return absl::StrCat(std::string(how->second.data(), how->second.size()), " ",
                      call.response.value());
}

class RetryingTest : public ServerTest {
 protected:
  // A session on a server that is reached by `wire_`.
  SessionHandle OpenBeyond(ClientOptions options = {}, Duration resume_window = kLong) {
    ServeOptions serve;
    serve.config.session.resume_window = resume_window;
    Serve(serve);
    wire_.emplace(server->port());
    return Client::Connect(absl::StrCat("127.0.0.1:", wire_->port()), std::move(options))
        .value()
        .OpenSession(State("a"))
        .value();
  }
  // Nobody is there any more, and gRPC knows.
  void Lose(const SessionHandle& session) {
    wire_->Set(Fault::kRefuse);
    ASSERT_TRUE(Soon([&] { return session.status().ok(); }, false));
    ASSERT_TRUE(
        Soon([&] { return session.channel()->GetState(true); }, GRPC_CHANNEL_TRANSIENT_FAILURE));
  }

  std::optional<Wire> wire_;
};

class WayOfCallingTest : public RetryingTest, public testing::WithParamInterface<Way> {
 protected:
  static void Make(ProbeCall& call, const SessionHandle& session) {
    GetParam().make(call, session.channel());
  }
};

INSTANTIATE_TEST_SUITE_P(, WayOfCallingTest,
                         testing::Values(Way{"Block", Block}, Way{"CallBack", CallBack},
                                         Way{"Queue", Queue}, Way{"Generic", CallGenerically}),
                         [](const auto& way) { return std::string(way.param.name); });

TEST_P(WayOfCallingTest, CallThatNobodyTookIsMadeWhenTheSessionIsBack) {
  const SessionHandle session = OpenBeyond();
  ProbeCall before("x");
  Make(before, session);
  EXPECT_EQ(HowOf(before), "miss a:x");
  Lose(session);
  ProbeCall hit("x"), miss("y");
  std::thread first([&] { Make(hit, session); }), second([&] { Make(miss, session); });
  wire_->Set(Fault::kNone);
  first.join();
  second.join();
  EXPECT_EQ(HowOf(hit), "hit a:x");
  EXPECT_EQ(HowOf(miss), "miss a:y");
  EXPECT_EQ(lab.computed("y"), 1);
}

TEST_P(WayOfCallingTest, CallOnASessionThatIsUnknownThereIsMadeOnTheNewOne) {
  const SessionHandle session = OpenBeyond({}, Duration::zero());
  Lose(session);
  ASSERT_TRUE(AliveSoon("nothing"));
  ProbeCall call("x");
  std::thread caller([&] { Make(call, session); });
  wire_->Set(Fault::kNone);
  caller.join();
  EXPECT_EQ(HowOf(call), "miss a:x");
}

TEST_P(WayOfCallingTest, CallThatAStoppingServerHadNotBegunIsMadeOnAnother) {
  ServeOptions options;
  options.config.compute.threads = 1;
  options.config.server.drain_timeout = milliseconds(50);
  Serve(options);
  Registry registry_there;
  RegisterProbe(registry_there);
  const auto there = Server::Start(TestConfig(), registry_there).value();
  const Client both =
      Client::Connect({target(), absl::StrCat("127.0.0.1:", there->port())}).value();
  std::optional<SessionHandle> session;
  while (Gauges().sessions() == 0) session = both.OpenSession(State("a")).value();
  lab.On("busy", [&](Computing&) {
    lab.gate("busy").Pass();
    return "done";
  });
  ProbeCall busy("busy"), queued("queued");
  std::thread first([&] { Make(busy, *session); });
  EXPECT_TRUE(lab.gate("busy").AwaitArrived());
  std::thread second([&] { Make(queued, *session); });
  EXPECT_TRUE(Soon([&] { return Gauges().queued(); }, 1));
  server->Drain();
  first.join();
  second.join();
  EXPECT_EQ(HowOf(busy), "10 the session was closed while the call waited");
  EXPECT_EQ(HowOf(queued), "miss a:queued");
  EXPECT_EQ(lab.computed("queued"), 1);
  lab.OpenGates();
  StopServer();
}

TEST_P(WayOfCallingTest, ErrorOfTheMethodIsTheAnswer) {
  lab.On("bad", [](Computing&) { return absl::InvalidArgumentError("bad key"); });
  const SessionHandle session = OpenBeyond();
  Lose(session);
  ProbeCall call("bad");
  std::thread caller([&] { Make(call, session); });
  wire_->Set(Fault::kNone);
  caller.join();
  EXPECT_EQ(HowOf(call), "3 bad key");
  EXPECT_EQ(lab.computed("bad"), 1);
}

TEST_P(WayOfCallingTest, DeadlineHoldsWhileNobodyIsThere) {
  const SessionHandle session = OpenBeyond({}, Duration::zero());
  Lose(session);
  ProbeCall call("x");
  const auto begin = std::chrono::system_clock::now();
  call.context.set_deadline(begin + milliseconds(200));
  Make(call, session);
  EXPECT_EQ(call.status.error_code(), StatusCode::DEADLINE_EXCEEDED);
  EXPECT_NE(call.status.error_message().find("session was being reconnected: failed to connect"),
            std::string::npos)
      << call.status.error_message();
  EXPECT_GE(std::chrono::system_clock::now() - begin, milliseconds(200));
}

TEST_P(WayOfCallingTest, CancelledCallWaitsNoLonger) {
  const SessionHandle session = OpenBeyond({}, Duration::zero());
  Lose(session);
  for (int round = 0; round < 20; ++round) {
    ProbeCall call("x");
    std::thread caller([&] { Make(call, session); });
    call.context.TryCancel();
    caller.join();
    EXPECT_EQ(call.status.error_code(), StatusCode::CANCELLED);
  }
}

TEST_P(WayOfCallingTest, ClosedSessionsCallsWaitNoLonger) {
  SessionHandle session = OpenBeyond({}, Duration::zero());
  Lose(session);
  ProbeCall call("x");
  std::thread caller([&] { Make(call, session); });
  session.Close().IgnoreError();
  caller.join();
  EXPECT_EQ(call.status.error_code(), StatusCode::UNAVAILABLE);
}

TEST_F(RetryingTest, CallThatWasTakenIsNotMadeAgain) {
  lab.On("slow", [&](Computing&) -> absl::StatusOr<std::string> {
    lab.gate("slow").Pass();
    return "done";
  });
  const SessionHandle session = OpenBeyond();
  ProbeCall call("slow");
  std::thread caller([&] { Block(call, session.channel()); });
  EXPECT_TRUE(lab.gate("slow").AwaitArrived());
  wire_->Reset();
  caller.join();
  EXPECT_EQ(call.status.error_code(), StatusCode::UNAVAILABLE) << HowOf(call);
  EXPECT_TRUE(Soon([&] { return session.status().ok(); }, true));
  EXPECT_EQ(lab.computed("slow"), 1);
  lab.OpenGates();
}

TEST_F(RetryingTest, CancelReachesTheComputationOfACallThatWasMadeAgain) {
  std::atomic<bool> noticed = false;
  lab.On("slow", [&](Computing& computing) -> absl::StatusOr<std::string> {
    lab.gate("slow").Pass();
    noticed = computing.AwaitCancelled();
    return absl::CancelledError();
  });
  lab.gate("slow").Open();
  const SessionHandle session = OpenBeyond();
  Lose(session);
  ProbeCall call("slow");
  std::thread caller([&] { Block(call, session.channel()); });
  wire_->Set(Fault::kNone);
  EXPECT_TRUE(lab.gate("slow").AwaitArrived());
  call.context.TryCancel();
  caller.join();
  EXPECT_EQ(call.status.error_code(), StatusCode::CANCELLED);
  EXPECT_TRUE(Soon([&] { return noticed.load(); }, true));
}

TEST_F(RetryingTest, MetadataIsSentAgainAndDeadlinesGoAlong) {
  const SessionHandle session = OpenBeyond();
  ProbeCall stored("x");
  Block(stored, session.channel());
  Lose(session);
  ProbeCall call("x");
  call.context.AddMetadata("memo-control", "bypass");
  call.context.set_deadline(std::chrono::system_clock::now() + kPatience);
  std::thread caller([&] { Block(call, session.channel()); });
  wire_->Set(Fault::kNone);
  caller.join();
  EXPECT_EQ(HowOf(call), "bypass a:x");
}

// As its owner may: whatever gRPC or the client still do with it must not need it.
TEST_F(RetryingTest, CallMayBeDestroyedAsSoonAsItIsAnswered) {
  const SessionHandle session = OpenBeyond();
  ProbeStub probe(session.channel());
  for (int round = 0; round < 10; ++round) {
    Lose(session);
    std::atomic<int> left = 20;
    for (int i = left; i > 0; --i) {
      auto call = std::make_shared<ProbeCall>("x");
      ProbeCall& made = *call;
      const auto cancelled = i % 4 == 0 ? call : nullptr;
      probe.async()->Compute(&made.context, &made.request, &made.response,
                             [call = std::move(call), &left](const grpc::Status&) mutable {
                               call = nullptr;
                               --left;
                             });
      if (cancelled != nullptr) cancelled->context.TryCancel();
    }
    wire_->Set(Fault::kNone);
    ASSERT_TRUE(Soon([&] { return left.load(); }, 0));
    ASSERT_TRUE(Soon([&] { return session.status().ok(); }, true));
  }
}

TEST_F(RetryingTest, SessionsOwnCallsAreMadeAgainToo) {
  SessionHandle session = OpenBeyond({}, Duration::zero());
  Lose(session);
  std::thread back([&] { wire_->Set(Fault::kNone); });
  EXPECT_TRUE(session.UpdateState(State("b")).ok());
  back.join();
  EXPECT_EQ(Get(session, "x"), "miss b:x");
  Lose(session);
  std::thread again([&] { wire_->Set(Fault::kNone); });
  const auto info = session.GetCacheInfo();
  again.join();
  EXPECT_TRUE(info.ok()) << info.status();
}

TEST_F(RetryingTest, ClientThatDoesNotReconnectTellsAtOnce) {
  ClientOptions options;
  options.reconnect_timeout = milliseconds::zero();
  const SessionHandle session = OpenBeyond(options, Duration::zero());
  Lose(session);
  ProbeCall call("x");
  Block(call, session.channel());
  EXPECT_EQ(call.status.error_code(), StatusCode::UNAVAILABLE);
}

// A service that calls on a session from within its own calls.
class Relay final : public memo::testing::v1::Twin::Service {
 public:
  explicit Relay(const SessionHandle& session) : session_(session) {}

  grpc::Status Compute(grpc::ServerContext* context, const ProbeRequest* request,
                       ProbeResponse* response) override {
    const auto child = grpc::ClientContext::FromServerContext(*context);
    return ProbeStub(session_.channel()).Compute(child.get(), *request, response);
  }

 private:
  const SessionHandle& session_;
};

// gRPC alone knows the deadline of such a call, and whether it was cancelled.
TEST_F(RetryingTest, CallWithinAnotherCallIsNotMadeAgain) {
  const SessionHandle session = OpenBeyond({}, Duration::zero());
  Relay relay(session);
  FakeServer server({&relay});
  memo::testing::v1::Twin::Stub twin(
      grpc::CreateChannel(server.address(), grpc::InsecureChannelCredentials()));
  const auto relayed = [&] {
    ProbeCall call("x");
    call.context.set_deadline(std::chrono::system_clock::now() + kPatience);
    call.status = twin.Compute(&call.context, call.request, &call.response);
    return call.status.ok() ? call.response.value() : std::to_string(call.status.error_code());
  };
  EXPECT_EQ(relayed(), "a:x");
  Lose(session);
  EXPECT_EQ(relayed(), "14");
}

TEST_F(RetryingTest, OnlyCallsUnderWayFailWhateverIsCut) {
  constexpr int kCallers = 8;
  const int rounds = Scaled(20) + 2;
  const SessionHandle session = OpenBeyond({}, Duration::zero());
  std::atomic<bool> stop = false;
  std::atomic<int> failed = 0, answered = 0;
  std::vector<std::thread> callers;
  for (int caller = 0; caller < kCallers; ++caller) {
    callers.emplace_back([&, caller] {
      for (int i = 0; !stop; ++i) {
        const std::string key = absl::StrCat(caller, "-", i % 16);
        ProbeCall call(key);
        Block(call, session.channel());
        ++(call.status.ok() ? answered : failed);
        if (call.status.ok()) {
          EXPECT_EQ(call.response.value(), "a:" + key);
          continue;
        }
        // The latter from the server, if that sees the session's stream go first.
        EXPECT_TRUE(call.status.error_code() == StatusCode::UNAVAILABLE ||
                    HowOf(call) == "10 the session was closed while the call waited")
            << HowOf(call);
        EXPECT_EQ(HowOf(call).find("failed to connect"), std::string::npos) << HowOf(call);
      }
    });
  }
  for (int round = 0; round < rounds; ++round) {
    const int before = answered;
    EXPECT_TRUE(Soon([&] { return answered > before + 100; }, true));
    wire_->Reset();
  }
  stop = true;
  for (std::thread& caller : callers) caller.join();
  // gRPC may take a call or two to notice.
  EXPECT_LE(failed, 2 * rounds * kCallers);
  std::printf("%d answered, %d failed in %d cuts\n", answered.load(), failed.load(), rounds);
}

// A server that holds the session and yet does not know it.
class ForgetfulServerTest : public testing::Test {
 protected:
  grpc::Status Add(grpc::ClientContext& context, milliseconds reconnect_timeout,
                   int64_t number = -1) {
    ClientOptions options;
    options.reconnect_timeout = reconnect_timeout;
    const SessionHandle session =
        Client::Connect(server_.address(), options).value().OpenSession().value();
    memo::examples::v1::CalculateRequest request;
    request.add_numbers(number);
    memo::examples::v1::CalculateResponse response;
    return memo::examples::v1::SlowAdder::NewStub(session.channel())
        ->Calculate(&context, request, &response);
  }

  FakeServer server_;
};

TEST_F(ForgetfulServerTest, IsAskedUntilTheTimeToReconnectIsOver) {
  grpc::ClientContext context;
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(Add(context, milliseconds(300)).error_code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(context.GetServerTrailingMetadata().count("memo-error"), 1u);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(300));
  EXPECT_GT(server_.adder.calls().size(), 1u);
}

// Unlike one that may only have come to the wrong server.
TEST_F(ForgetfulServerTest, ThatStopsIsAskedOnce) {
  grpc::ClientContext context;
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(Add(context, milliseconds(300), -2).error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(context.GetServerTrailingMetadata().count("memo-error"), 1u);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(300));
  EXPECT_EQ(server_.adder.calls().size(), 1u);
}

TEST_F(ForgetfulServerTest, IsAskedUntilTheDeadlineWhichHasNoMemoError) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + milliseconds(300));
  EXPECT_EQ(Add(context, milliseconds::max()).error_code(), StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(context.GetServerTrailingMetadata().count("memo-error"), 0u);
  EXPECT_GT(server_.adder.calls().size(), 1u);
}

}  // namespace
}  // namespace memod
