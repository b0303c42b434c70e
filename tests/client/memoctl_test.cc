// memoctl as its user meets it: what it prints, where, and how it exits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "memo/examples/v1/dataset.pb.h"
#include "memod/tests/client/memoctl_fixture.h"

namespace memod {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

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

TEST_F(MemoctlTest, DebugCountsToTheByte) {
  EXPECT_EQ(Memoctl({"debug"}).out,
            "ALIVE         NUMBER\n"
            "sessions           7\n"
            "instances          0\n"
            "flights            0\n"
            "entries            0\n"
            "bytes              0\n"
            "holders            0\n"
            "leases             0\n"
            "incarnations       0\n"
            "waiters            0\n"
            "timers             0\n"
            "reactors           0\n"
            "queued             0\n"
            "unsent_bytes    2048\n"
            "builds             0\n"
            "calls              0\n"
            "descriptors       31\n");
  const Run json = Memoctl({"debug", "-o", "json"});
  EXPECT_THAT(json.out,
              AllOf(StartsWith("{\n  \"gauges\": {\n    \"sessions\": 7,"),
                    HasSubstr("\"unsent_bytes\": 2048"), HasSubstr("\"descriptors\": 31")));
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
            "MAX_ENTRIES  MAX_TOTAL  MAX_BYTES  TTL  TIMEOUT  COALESCE  UPSTREAM\n"
            "/memo.examples.v1.SlowAdder/Calculate  memo.examples.v1.SlowAdderState  session  "
            "        128  unbounded    1.0 MiB    -     5m0s  yes       -\n");
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
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{},
                                             {"nonsense"},
                                             {"close"},
                                             {"info", "--frob"},
                                             {"info", "-o", "xml"},
                                             {"info", "--timeout", "soon"},
                                             {"info", "--timeout", "-1"},
                                             {"info", "--timeout", "nan"},
                                             {"open", "--state", "{}"},
                                             {"call"},
                                             {"call", "m", "--repeat", "0"},
                                             {"call", "m", "--control", "x"},
                                             {"forget"},
                                             {"explain"},
                                             {"watch"},
                                             {"watch", "clear"},
                                             {"top", "--interval", "1ms"},
                                             {"completion", "fish"}}) {
    const Run run = Memoctl(arguments);
    EXPECT_EQ(run.exit, 2) << testing::PrintToString(arguments);
    EXPECT_NE(run.err, "") << testing::PrintToString(arguments);
    EXPECT_EQ(run.out, "") << testing::PrintToString(arguments);
  }
}

TEST_F(MemoctlTest, EveryHelpHasExamples) {
  for (const auto& command :
       {"open", "call", "info", "sessions", "methods", "upstreams", "debug", "top", "watch",
        "forget", "explain", "clear", "close", "completion"}) {
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
  EXPECT_EQ(open.ReadLine(), "  \"session_id\": \"s1\",");
  EXPECT_EQ(open.ReadLine(), "  \"resume_window\": null");
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
