// memoctl's calls of methods, and what it says of their keys.
#include "memod/tests/client/memoctl_fixture.h"

namespace memod {
namespace {

using memo::examples::v1::CalculateRequest;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::Not;
using testing::StartsWith;

class MemoctlCallTest : public MemoctlTest {
 protected:
  // The request of the last forget or explain.
  static std::vector<int64_t> NumbersOf(const memo::v1::DescribedCall& call) {
    CalculateRequest request;
    EXPECT_TRUE(request.ParseFromString(call.request()));
    return {request.numbers().begin(), request.numbers().end()};
  }
};

TEST_F(MemoctlCallTest, AnswerGoesToStdoutAndHowItCameToStderr) {
  const Run run = Memoctl({"call", kCalculate, R"({"numbers": [40, 2]})"});
  EXPECT_EQ(run.out, "{\n  \"sum\": 42\n}\n");
  EXPECT_THAT(run.err, MatchesRegex("miss, [0-9.]+ m?s\n"));
  EXPECT_EQ(run.exit, 0);
}

TEST_F(MemoctlCallTest, RepeatShowsTheMissAndTheHitsAndTheAnswerOnce) {
  const Run run = Memoctl({"call", kCalculate, R"({"numbers": [1]})", "--repeat", "3"});
  EXPECT_EQ(run.out, "{\n  \"sum\": 1\n}\n");
  EXPECT_THAT(run.err, MatchesRegex("miss, [0-9.]+ m?s\n"
                                    "hit \\(age 3 s\\), [0-9.]+ m?s\n"
                                    "hit \\(age 3 s\\), [0-9.]+ m?s\n"));
}

TEST_F(MemoctlCallTest, MethodMayBeSpelledInThreeWays) {
  for (const auto& method :
       {"/memo.examples.v1.SlowAdder/Calculate", "memo.examples.v1.SlowAdder/Calculate",
        "memo.examples.v1.SlowAdder.Calculate"}) {
    EXPECT_EQ(Memoctl({"call", method}).exit, 0) << method;
  }
}

TEST_F(MemoctlCallTest, RequestComesFromAFileOrStdin) {
  const TempFile file(R"({"numbers": [5, 6]})");
  EXPECT_THAT(Memoctl({"call", kCalculate, "@" + file.path()}).out, HasSubstr("11"));
  for (const auto& argument : {"-", "@-"}) {
    Process process(Command({"call", kCalculate, argument}), Environment());
    process.WriteInput(R"({"numbers": [7, 8]})");
    process.EndInput();
    EXPECT_THAT(process.ReadOutput(), HasSubstr("15"));
  }
}

TEST_F(MemoctlCallTest, JsonIsAnObjectForEachCall) {
  const Run run = Memoctl({"call", kCalculate, R"({"numbers": [1]})", "-o", "json"});
  EXPECT_THAT(run.out, MatchesRegex("\\{\n  \"answer\": \\{\n    \"sum\": 1\n  \\},\n"
                                    "  \"memo_cache\": \"miss\",\n  \"memo_age\": null,\n"
                                    "  \"seconds\": [0-9.e-]+,\n  \"status\": \"OK\",\n"
                                    "  \"message\": \"\",\n  \"memo_error\": null\n\\}\n"));
  EXPECT_EQ(run.err, "");
  EXPECT_THAT(Memoctl({"call", kCalculate, "-o", "json"}).out,
              AllOf(HasSubstr("\"memo_cache\": \"hit\""), HasSubstr("\"memo_age\": 3,")));
}

TEST_F(MemoctlCallTest, FailedCallIsExitCode1WithItsMemoError) {
  const std::string why = "memoctl: NOT_FOUND: no such session (memo-error: SESSION_NOT_FOUND)\n";
  const Run run = Memoctl({"call", kCalculate, R"({"numbers": [-1]})"});
  EXPECT_EQ(run.exit, 1);
  EXPECT_EQ(run.out, "");
  EXPECT_THAT(run.err, MatchesRegex("failed, [0-9.]+ m?s\nmemoctl: NOT_FOUND: .*\n"));
  EXPECT_THAT(run.err, HasSubstr(why));
  const Run json = Memoctl({"call", kCalculate, R"({"numbers": [-1]})", "-o", "json"});
  EXPECT_EQ(json.exit, 1);
  EXPECT_EQ(json.err, why);
  EXPECT_THAT(json.out, AllOf(HasSubstr("\"answer\": null"), HasSubstr("\"status\": \"NOT_FOUND\""),
                              HasSubstr("\"message\": \"no such session\""),
                              HasSubstr("\"memo_error\": \"SESSION_NOT_FOUND\"")));
}

TEST_F(MemoctlCallTest, HandleComesFromTheEnvironmentOrAFileAsOpenPrintsIt) {
  const TempFile text("handle   secret-2\nsession  s2\n");
  const TempFile json("{\n  \"handle\": \"secret-3\",\n  \"session_id\": \"s3\"\n}\n");
  const TempFile alone("secret-4\n");
  Memoctl({"call", kCalculate}, {"MEMO_SESSION=secret-1"});
  for (const TempFile* file : {&text, &json, &alone}) {
    Memoctl({"call", kCalculate, "--session-file", file->path()}, {"MEMO_SESSION=secret-1"});
  }
  Memoctl({"call", kCalculate});
  const auto calls = server.adder.calls();
  ASSERT_EQ(calls.size(), 5u);
  EXPECT_THAT(calls[0].handles, ElementsAre("secret-1"));
  EXPECT_THAT(calls[1].handles, ElementsAre("secret-2"));
  EXPECT_THAT(calls[2].handles, ElementsAre("secret-3"));
  EXPECT_THAT(calls[3].handles, ElementsAre("secret-4"));
  EXPECT_THAT(calls[4].handles, IsEmpty());
}

TEST_F(MemoctlCallTest, OpenHoldsASessionAsLongAsTheCalls) {
  const Run run = Memoctl({"call", kCalculate, R"({"numbers": [1]})", "--repeat", "2", "--open",
                           "memo.examples.v1.SlowAdderState", "delay=2s"},
                          {"MEMO_SESSION=another"});
  EXPECT_EQ(run.exit, 0) << run.err;
  for (const auto& call : server.adder.calls()) EXPECT_THAT(call.handles, ElementsAre("secret-1"));
  memo::examples::v1::SlowAdderState state;
  ASSERT_TRUE(server.sessions.last_request().state().UnpackTo(&state));
  EXPECT_EQ(state.delay().seconds(), 2);
  EXPECT_TRUE(server.sessions.AwaitOpen(0));
}

TEST_F(MemoctlCallTest, MetadataAndControlAreSent) {
  EXPECT_EQ(Memoctl({"call", kCalculate, "-H", "X-Tenant: blue", "--metadata", "x-empty=", "-H",
                     "x-raw-bin=AAH/", "--control", "refresh"})
                .exit,
            0);
  EXPECT_THAT(server.adder.calls().at(0).metadata,
              testing::IsSupersetOf({std::string("x-tenant=blue"), std::string("x-empty="),
                                     std::string("x-raw-bin=\0\x01\xff", 13),
                                     std::string("memo-control=refresh")}));
}

TEST_F(MemoctlCallTest, WhatCannotBeCalledSaysWhatIsWrong) {
  struct Case {
    std::vector<std::string> arguments;
    int exit;
    std::string problem;
  };
  const std::vector<Case> cases = {
      {{"memo.examples.v1.SlowAdder/Calculat"}, 1, "did you mean /memo.examples.v1.SlowAdder/Calc"},
      {{"no.Such/Thing"}, 1, "NOT_FOUND: the server has no method no.Such/Thing; there is /"},
      {{"/memo.v1.SessionService/OpenSession"}, 2, "is a streaming method"},
      {{kCalculate, "{\n\"numbers\": [1,}"}, 2, "request: parse error at line 2, column 15"},
      {{kCalculate, "17"}, 2, "request: not a JSON object"},
      {{kCalculate, R"({"numbers": [1, "x"]})"}, 2, "(numbers[1]): invalid value \"x\""},
      {{kCalculate, R"({"number": 1})"}, 2, "number: Cannot find field"},
      {{kCalculate, "@/nowhere"}, 2, "cannot read /nowhere: No such file"},
      {{kCalculate, "-H", "nonsense"}, 2, "metadata \"nonsense\": is no NAME=VALUE"},
      {{kCalculate, "-H", "a b=c"}, 2, "metadata \"a b\": a name has"},
      {{kCalculate, "-H", "a=\x01"}, 2, "metadata \"a\": the value has printable ASCII only"},
      {{kCalculate, "-H", "a-bin=?"}, 2, "metadata \"a-bin\": the value of a -bin name is base64"},
      {{kCalculate, "-H", "memo-session=x"}, 2, "use MEMO_SESSION or --session-file"},
      {{kCalculate, "--session-file", "/nowhere"}, 2, "cannot read /nowhere"},
      {{kCalculate, "--open", "memo.examples.v1.SlowAdderState", "dely=1s"}, 2, "only: delay"}};
  for (const Case& each : cases) {
    std::vector<std::string> all = each.arguments;
    all.insert(all.begin(), "call");
    const Run run = Memoctl(all);
    EXPECT_EQ(run.exit, each.exit) << testing::PrintToString(all) << run.err;
    EXPECT_THAT(run.err, HasSubstr(each.problem));
    EXPECT_EQ(run.out, "");
  }
  EXPECT_THAT(server.adder.calls(), IsEmpty());
}

TEST_F(MemoctlCallTest, SecretsAreNotEchoed) {
  const TempFile two("secret-1 secret-2");
  for (const auto& arguments :
       {std::vector<std::string>{"call", kCalculate, "-H", "a b=secret-1"},
        std::vector<std::string>{"call", kCalculate, "-H", "memo-session: secret-1"},
        std::vector<std::string>{"call", kCalculate, "--session-file", two.path()}}) {
    const Run run = Memoctl(arguments);
    EXPECT_EQ(run.exit, 2);
    EXPECT_THAT(run.out + run.err, Not(HasSubstr("secret-")));
  }
  const Run run = Memoctl({"call", kCalculate}, {"MEMO_SESSION=secret 1"});
  EXPECT_EQ(run.exit, 2);
  EXPECT_THAT(run.out + run.err, Not(HasSubstr("secret 1")));
}

TEST_F(MemoctlCallTest, ForgetSendsTheCallAndPrintsTheReceipt) {
  const std::vector<std::string> command = {"forget",
                                            "memo.examples.v1.SlowAdder/Calculate",
                                            R"({"numbers": [1, 2]})",
                                            "--session",
                                            "s1",
                                            "-H",
                                            "x-tenant=blue"};
  EXPECT_EQ(Memoctl(command).out, "released 3 entries, 1.2 KiB, 2.4s of computation\n");
  const memo::v1::DescribedCall call = admin.last_key_request.call();
  EXPECT_EQ(call.method(), kCalculate);
  EXPECT_EQ(call.session_id(), "s1");
  EXPECT_THAT(NumbersOf(call), ElementsAre(1, 2));
  ASSERT_EQ(call.metadata_size(), 1);
  EXPECT_EQ(call.metadata(0).name() + call.metadata(0).value(), "x-tenantblue");
  EXPECT_EQ(Memoctl({"forget", kCalculate, "-o", "json"}).out,
            "{\n  \"entries\": 3,\n  \"bytes\": 1229,\n  \"compute_seconds\": 2.4\n}\n");
  EXPECT_EQ(Memoctl({"forget", kCalculate, "--session", "s9"}).err,
            "memoctl: NOT_FOUND: no session s9\n");
}

TEST_F(MemoctlCallTest, ExplainShowsThePartsAndNoControlCharacters) {
  const Run run = Memoctl(
      {"explain", kCalculate, R"({"numbers": [1]})", "--session", "s1", "-H", "authorization=x"});
  EXPECT_EQ(run.out,
            "PART     BYTES  VALUE\n"
            "method      37  /memo.examples.v1.SlowAdder/Calculate\n"
            "request      3  one\\x0aand \\x1b[31m two\n"
            "\n"
            "not part of it: metadata authorization\n"
            "remembered, 3s old\n");
  EXPECT_FALSE(admin.last_key_request.has_other());
}

TEST_F(MemoctlCallTest, ExplainComparesWithAnotherCallThatDiffersInWhatIsSaid) {
  const Run run = Memoctl({"explain", kCalculate, R"({"numbers": [1]})", R"({"numbers": [2]})",
                           "--session", "s1", "-H", "x-tenant=blue"});
  EXPECT_THAT(run.out, HasSubstr("\ntwo keys:\n  request: 2 bytes, and 3\n"));
  memo::v1::ExplainKeyRequest asked = admin.last_key_request;
  EXPECT_THAT(NumbersOf(asked.call()), ElementsAre(1));
  EXPECT_THAT(NumbersOf(asked.other()), ElementsAre(2));
  EXPECT_EQ(asked.other().session_id(), "s1");
  EXPECT_EQ(asked.other().metadata(0).value(), "blue");

  Memoctl({"explain", kCalculate, R"({"numbers": [1]})", "--session", "s1", "-H", "x-tenant=blue",
           "--other-metadata", "x-tenant=red", "--other-session", "s2"});
  asked = admin.last_key_request;
  EXPECT_THAT(NumbersOf(asked.other()), ElementsAre(1));
  EXPECT_EQ(asked.other().session_id(), "s2");
  EXPECT_EQ(asked.other().metadata(0).value(), "red");

  const Run json = Memoctl({"explain", kCalculate, "{}", "{}", "-o", "json"});
  EXPECT_THAT(json.out, AllOf(StartsWith("{\n  \"key\": {\n    \"parts\": ["),
                              HasSubstr("\"remembered\": false"), HasSubstr("\"equal\": false"),
                              HasSubstr("\"differences\": [")));
}

TEST_F(MemoctlCallTest, UnreachableServerIsNamed) {
  server.Stop();
  for (const auto& command : {"call", "forget", "explain"}) {
    const Run run = Memoctl({command, kCalculate});
    EXPECT_EQ(run.exit, 1);
    EXPECT_THAT(run.err, AllOf(StartsWith("memoctl: UNAVAILABLE: "), HasSubstr(server.address())));
  }
  const Run top = Memoctl({"top"});
  EXPECT_EQ(top.exit, 1);
  EXPECT_THAT(top.err, AllOf(StartsWith("memoctl: UNAVAILABLE: "), HasSubstr(server.address())));
}

}  // namespace
}  // namespace memod
