// memoctl as its user meets it: what it prints, where, and how it exits.
#include <gmock/gmock.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "memo/examples/v1/dataset.pb.h"
#include "memo/v1/admin.grpc.pb.h"
#include "memod/tests/client/fake_server.h"
#include "memod/tests/client/process.h"

namespace memod {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr char kCalculate[] = "/memo.examples.v1.SlowAdder/Calculate";

// Answers with fixed figures, and knows the session "s1" only.
class FakeAdmin final : public memo::v1::AdminService::Service {
  template <typename Request>
  static grpc::Status Check(const Request& request) {
    if (request.session_id().empty() || request.session_id() == "s1") return grpc::Status::OK;
    return {grpc::StatusCode::NOT_FOUND, "no session " + request.session_id()};
  }
  static void FillReceipt(memo::v1::ReleaseReceipt& receipt) {
    receipt.set_entries(3);
    receipt.set_bytes(1229);
    receipt.set_compute_seconds(2.4);
  }

  grpc::Status GetCacheInfo(grpc::ServerContext*,
                            const memo::v1::AdminServiceGetCacheInfoRequest* request,
                            memo::v1::AdminServiceGetCacheInfoResponse* response) override {
    memo::v1::CacheInfo info;
    info.set_hits(12);
    info.set_misses(3);
    info.set_currsize(3);
    info.set_bytes(1229);
    info.set_compute_seconds_saved(24);
    *response->mutable_total() = info;
    info.set_maxsize(128);
    info.mutable_policy()->set_max_entries(128);
    auto* method = response->add_methods();
    method->set_method(request->method().empty() ? kCalculate : request->method());
    *method->mutable_info() = info;
    if (request->method().empty()) {
      method = response->add_methods();
      method->set_method("/memo.examples.v1.SlowAdder/Fibonacci");
      method->mutable_info()->mutable_policy()->set_scope("session");  // unbounded
    }
    response->mutable_gauges()->set_sessions(1);
    return Check(*request);
  }
  grpc::Status ClearCache(grpc::ServerContext*,
                          const memo::v1::AdminServiceClearCacheRequest* request,
                          memo::v1::AdminServiceClearCacheResponse* response) override {
    FillReceipt(*response->mutable_receipt());
    return Check(*request);
  }
  grpc::Status CloseSession(grpc::ServerContext*,
                            const memo::v1::AdminServiceCloseSessionRequest* request,
                            memo::v1::AdminServiceCloseSessionResponse* response) override {
    FillReceipt(*response->mutable_receipt());
    return Check(*request);
  }
  // Two pages of one session each.
  grpc::Status ListSessions(grpc::ServerContext*, const memo::v1::ListSessionsRequest* request,
                            memo::v1::ListSessionsResponse* response) override {
    const bool first = request->page_token().empty();
    auto* session = response->add_sessions();
    session->set_session_id(first ? "s1" : "s2");
    session->set_peer("ipv4:127.0.0.1:5000");
    session->mutable_age()->set_seconds(182);
    if (first) session->set_state_type("memo.examples.v1.SlowAdderState");
    if (first) response->set_next_page_token("s1");
    return grpc::Status::OK;
  }
  grpc::Status ListMethods(grpc::ServerContext*, const memo::v1::ListMethodsRequest*,
                           memo::v1::ListMethodsResponse* response) override {
    auto* method = response->add_methods();
    method->set_method(kCalculate);
    method->set_state_type("memo.examples.v1.SlowAdderState");
    method->mutable_policy()->set_max_entries(128);
    method->mutable_policy()->set_max_entry_bytes(1 << 20);
    method->mutable_policy()->mutable_compute_timeout()->set_seconds(300);
    method->mutable_policy()->set_coalesce(true);
    method->mutable_policy()->set_scope("session");
    return grpc::Status::OK;
  }
};

// A file of this test's, gone with it.
class TempFile {
 public:
  explicit TempFile(const std::string& text) {
    const int file = mkstemp(path_.data());
    close(file);
    std::ofstream(path_, std::ios::binary) << text;
  }
  ~TempFile() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_ = testing::TempDir() + "memoctl_test_XXXXXX";
};

class MemoctlTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { grpc::reflection::InitProtoReflectionServerBuilderPlugin(); }

  struct Run {
    int exit = 0;
    std::string out;
    std::string err;
  };
  std::vector<std::string> Environment() const {
    return {"MEMOCTL_SERVER=" + server.address(), "MEMOCTL_ADMIN=" + server.address()};
  }
  std::vector<std::string> Command(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), MEMOCTL);
    return arguments;
  }
  Run Memoctl(std::vector<std::string> arguments) {
    Process process(Command(std::move(arguments)), Environment());
    Run run;
    run.out = process.ReadOutput();
    run.err = process.ReadErrors();
    run.exit = process.Wait();
    return run;
  }
  // The state that `memoctl open` with these arguments sends.
  template <typename State>
  State StateSent(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "open");
    Process process(Command(std::move(arguments)), Environment());
    EXPECT_THAT(process.ReadLine(), StartsWith("handle"));
    State state;
    EXPECT_TRUE(server.sessions.last_request().state().UnpackTo(&state));
    return state;
  }

  FakeAdmin admin;
  FakeServer server{{&admin}};
};

TEST_F(MemoctlTest, InfoIsATableThatLinesUp) {
  const Run run = Memoctl({"info"});
  EXPECT_EQ(
      run.out,
      "METHOD                                 HITS  MISSES    MAXSIZE  CURRSIZE    BYTES  SAVED\n"
      "/memo.examples.v1.SlowAdder/Calculate    12       3        128         3  1.2 KiB    24s\n"
      "/memo.examples.v1.SlowAdder/Fibonacci     0       0  unbounded         0      0 B     0s\n"
      "total                                    12       3          -         3  1.2 KiB    24s\n"
      "\n"
      "coalesced 0, computations 0, errors 0, evictions 0, expirations 0, too large 0\n"
      "server: sessions 1, instances 0, flights 0, entries 0, bytes 0 B\n");
  EXPECT_EQ(run.err, "");
  EXPECT_EQ(run.exit, 0);
}

TEST_F(MemoctlTest, InfoOfAMethodTakesItsNameWithoutTheSlash) {
  const Run run = Memoctl({"info", "--session", "s1", "--method", kCalculate + 1});
  EXPECT_THAT(run.out, AllOf(HasSubstr(kCalculate), testing::Not(HasSubstr("total  "))));
  EXPECT_EQ(run.exit, 0);
}

TEST_F(MemoctlTest, JsonHasNumbersAndNulls) {
  const Run run = Memoctl({"-o", "json", "info", "--method", kCalculate});
  EXPECT_THAT(run.out, AllOf(StartsWith("{\n  \"total\": {\n    \"hits\": 12,"),
                             HasSubstr("\"maxsize\": null"), HasSubstr("\"maxsize\": 128"),
                             HasSubstr("\"compute_seconds_saved\": 24.0")));
  EXPECT_EQ(run.exit, 0);
}

TEST_F(MemoctlTest, SessionsFollowsThePages) {
  EXPECT_EQ(Memoctl({"sessions"}).out,
            "SESSION  STATE                            PEER                  AGE  HITS  MISSES  "
            "CURRSIZE  BYTES\n"
            "s1       memo.examples.v1.SlowAdderState  ipv4:127.0.0.1:5000  3m2s     0       0  "
            "       0    0 B\n"
            "s2       -                                ipv4:127.0.0.1:5000  3m2s     0       0  "
            "       0    0 B\n");
  const Run json = Memoctl({"sessions", "-o", "json"});
  EXPECT_THAT(json.out, AllOf(HasSubstr("\"s1\""), HasSubstr("\"s2\""), HasSubstr("\"age\": 182.0"),
                              HasSubstr("\"next_page_token\": \"\"")));
}

TEST_F(MemoctlTest, MethodsShowsThePolicies) {
  EXPECT_EQ(Memoctl({"methods"}).out,
            "METHOD                                 STATE                            SCOPE    "
            "MAX_ENTRIES  MAX_TOTAL  MAX_BYTES  TTL  TIMEOUT  COALESCE\n"
            "/memo.examples.v1.SlowAdder/Calculate  memo.examples.v1.SlowAdderState  session  "
            "        128  unbounded    1.0 MiB    -     5m0s  yes\n");
}

TEST_F(MemoctlTest, ClearAndCloseSayWhatWasReleased) {
  const std::string text = "released 3 entries, 1.2 KiB, 2.4s of computation\n";
  EXPECT_EQ(Memoctl({"clear", "--session", "s1"}).out, text);
  EXPECT_EQ(Memoctl({"close", "s1"}).out, text);
  EXPECT_EQ(Memoctl({"close", "s1", "-o", "json"}).out,
            "{\n  \"entries\": 3,\n  \"bytes\": 1229,\n  \"compute_seconds\": 2.4\n}\n");
}

TEST_F(MemoctlTest, RefusalIsExitCode1WithCodeAndMessageOnStderr) {
  for (const auto& arguments : {std::vector<std::string>{"info", "--session", "s9"},
                                std::vector<std::string>{"clear", "--session", "s9"},
                                std::vector<std::string>{"close", "s9"}}) {
    const Run run = Memoctl(arguments);
    EXPECT_EQ(run.exit, 1);
    EXPECT_EQ(run.out, "");
    EXPECT_EQ(run.err, "memoctl: NOT_FOUND: no session s9\n");
  }
}

TEST_F(MemoctlTest, UnreachableServerIsExitCode1AndNamed) {
  server.Stop();
  for (const auto& command : {"info", "open"}) {
    const Run run = Memoctl({command});
    EXPECT_EQ(run.exit, 1);
    EXPECT_THAT(run.err, AllOf(StartsWith("memoctl: UNAVAILABLE: "), HasSubstr(server.address())));
  }
}

TEST_F(MemoctlTest, WrongUsageIsExitCode2) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{{},
                                                                     {"nonsense"},
                                                                     {"close"},
                                                                     {"info", "--frob"},
                                                                     {"info", "-o", "xml"},
                                                                     {"info", "--timeout", "soon"},
                                                                     {"info", "--timeout", "-1"},
                                                                     {"info", "--timeout", "nan"},
                                                                     {"open", "--state", "{}"}}) {
    const Run run = Memoctl(arguments);
    EXPECT_EQ(run.exit, 2) << testing::PrintToString(arguments);
    EXPECT_NE(run.err, "") << testing::PrintToString(arguments);
    EXPECT_EQ(run.out, "") << testing::PrintToString(arguments);
  }
}

TEST_F(MemoctlTest, EveryHelpHasExamples) {
  for (const auto& command : {"open", "info", "sessions", "methods", "clear", "close"}) {
    const Run run = Memoctl({command, "--help"});
    EXPECT_EQ(run.exit, 0);
    EXPECT_THAT(run.out, HasSubstr(std::string("Examples:\n  memoctl ") + command));
  }
  EXPECT_THAT(Memoctl({"--help"}).out, HasSubstr("Examples:\n  memoctl "));
  EXPECT_THAT(Memoctl({"--version"}).out, StartsWith("memoctl "));
}

TEST_F(MemoctlTest, OpenHoldsTheSessionUntilInterrupted) {
  for (const int signal : {SIGINT, SIGTERM}) {
    Process open(Command({"open"}), Environment());
    EXPECT_THAT(open.ReadLine(), StartsWith("handle   secret-"));
    EXPECT_THAT(open.ReadLine(), StartsWith("session  s"));
    EXPECT_TRUE(server.sessions.AwaitOpen(1));
    open.Kill(signal);
    EXPECT_EQ(open.Wait(), 0);
    EXPECT_EQ(open.ReadErrors(), "released 3 entries, 1.2 KiB, 2.4s of computation\n");
    EXPECT_TRUE(server.sessions.AwaitOpen(0));
  }
}

TEST_F(MemoctlTest, InterruptEndsAnOpenThatStillWaits) {
  server.sessions.NeverAnswerOpen();
  Process open(Command({"open"}), Environment());
  EXPECT_TRUE(server.sessions.AwaitOpen(1));
  open.Kill(SIGINT);
  EXPECT_EQ(open.Wait(), -SIGINT);
  EXPECT_TRUE(server.sessions.AwaitOpen(0));
}

TEST_F(MemoctlTest, OpenPrintsJson) {
  Process open(Command({"open", "-o", "json"}), Environment());
  EXPECT_EQ(open.ReadLine(), "{");
  EXPECT_EQ(open.ReadLine(), "  \"handle\": \"secret-1\",");
  EXPECT_EQ(open.ReadLine(), "  \"session_id\": \"s1\"");
}

TEST_F(MemoctlTest, KilledOpenEndsItsSession) {
  Process open(Command({"open"}), Environment());
  EXPECT_THAT(open.ReadLine(), StartsWith("handle"));
  open.Kill(SIGKILL);
  EXPECT_TRUE(server.sessions.AwaitOpen(0));
}

TEST_F(MemoctlTest, OpenThatLosesItsSessionSaysWhyAndFails) {
  Process open(Command({"open"}), Environment());
  EXPECT_THAT(open.ReadLine(), StartsWith("handle"));
  server.sessions.End("s1", {grpc::StatusCode::ABORTED, "closed by an administrator"});
  EXPECT_EQ(open.Wait(), 1);
  EXPECT_EQ(open.ReadErrors(), "memoctl: ABORTED: lost the session: closed by an administrator\n");
}

TEST_F(MemoctlTest, OpenTellsThatTheServerDrains) {
  Process open(Command({"open"}), Environment());
  EXPECT_THAT(open.ReadLine(), StartsWith("handle"));
  server.sessions.Drain("s1");
  server.sessions.End("s1", {grpc::StatusCode::UNAVAILABLE, "stopped"});
  EXPECT_EQ(open.Wait(), 1);
  EXPECT_THAT(open.ReadErrors(), StartsWith("memoctl: the server is about to stop\n"));
}

TEST_F(MemoctlTest, StateComesFromFieldsJsonAndFiles) {
  using memo::examples::v1::DatasetState;
  using memo::examples::v1::SlowAdderState;
  const std::string adder = "memo.examples.v1.SlowAdderState";
  const std::string dataset = "memo.examples.v1.DatasetState";
  const TempFile json(R"({"delay": "2.5s"})");
  const TempFile csv("a,\"b\r\n{}\xc3\xa4\"\n1,2\n");
  EXPECT_FALSE(StateSent<SlowAdderState>({adder}).has_delay());
  EXPECT_EQ(StateSent<SlowAdderState>({adder, "delay=0.5s"}).delay().nanos(), 500000000);
  EXPECT_EQ(StateSent<SlowAdderState>({adder, "--state", R"({"delay":"3s"})"}).delay().seconds(),
            3);
  EXPECT_EQ(StateSent<SlowAdderState>({adder, "--state", "@" + json.path()}).delay().seconds(), 2);
  EXPECT_EQ(StateSent<SlowAdderState>({adder, "delay=1s", "--state", "@" + json.path()})
                .delay()
                .seconds(),
            1);
  EXPECT_EQ(StateSent<DatasetState>({dataset, "csv=@" + csv.path()}).csv(),
            "a,\"b\r\n{}\xc3\xa4\"\n1,2\n");
  EXPECT_EQ(StateSent<DatasetState>({dataset, "csv=17"}).csv(), "17");
}

TEST_F(MemoctlTest, WrongStateIsExitCode2AndSaysWhatIsWrong) {
  const std::string adder = "memo.examples.v1.SlowAdderState";
  const TempFile latin1("\xe4");
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{adder, "delay"}, "no FIELD=VALUE"},
      {{adder, "dely=1s"}, "has no field \"dely\", only: delay"},
      {{adder, "delay=soon"}, "delay"},
      {{adder, "--state", "{"}, "parse error"},
      {{adder, "--state", "[]"}, "not a JSON object"},
      {{adder, "--state", "@/nowhere/state.json"}, "cannot read /nowhere/state.json: No such file"},
      {{adder, "--state", "@/"}, "cannot read /: Is a directory"},
      {{"memo.examples.v1.DatasetState", "csv=@" + latin1.path()}, "not UTF-8"}};
  for (const auto& [arguments, problem] : cases) {
    std::vector<std::string> all = arguments;
    all.insert(all.begin(), "open");
    const Run run = Memoctl(all);
    EXPECT_EQ(run.exit, 2) << testing::PrintToString(arguments) << run.err;
    EXPECT_THAT(run.err, AllOf(StartsWith("memoctl: INVALID_ARGUMENT: "), HasSubstr(problem)));
  }
}

TEST_F(MemoctlTest, StateOfAnUnknownTypeIsTheServersRefusal) {
  const Run run = Memoctl({"open", "no.such.State"});
  EXPECT_EQ(run.exit, 1);
  EXPECT_EQ(run.err, "memoctl: NOT_FOUND: the server knows no type no.such.State\n");
}

}  // namespace
}  // namespace memod
