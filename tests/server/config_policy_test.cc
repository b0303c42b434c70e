// The keys of a [[method]] that say who shares entries, what a key is made of and which errors are
// remembered: every form that is taken, and what every other is told.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memod/server/config.h"
#include "memod/tests/server/toml_file.h"

namespace memod {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using Names = std::vector<std::string>;
using Negative = std::map<absl::StatusCode, std::optional<Duration>>;

// Of one section; its lines begin with the file's third.
MethodConfig Load(const std::string& lines) {
  const TomlFile file("[[method]]\nname = '/a.B/C'\n" + lines);
  const absl::StatusOr<Config> config =
      LoadConfig({.toml_file = file.path(), .environment = {}, .flags = {}});
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? config->methods.at(0) : MethodConfig();
}

std::string Error(const std::string& lines) {
  return ConfigError({}, "[[method]]\nname = '/a.B/C'\n" + lines);
}

TEST(ConfigPolicyTest, NothingGivenChangesNothing) {
  Policy base;
  base.cache = "prices";
  base.key_metadata = {"x-tenant"};
  base.forward = {"traceparent"};
  base.answer_metadata = {"x-date"};
  base.key_mode = KeyMode::kMessage;
  base.key_ignore = {"a.b"};
  base.negative = {{absl::StatusCode::kNotFound, seconds(1)}};
  base.scope = Scope::kState;
  const Policy same = Load("").Apply(base);
  EXPECT_EQ(same.cache, base.cache);
  EXPECT_EQ(same.key_metadata, base.key_metadata);
  EXPECT_EQ(same.forward, base.forward);
  EXPECT_EQ(same.answer_metadata, base.answer_metadata);
  EXPECT_EQ(same.key_mode, base.key_mode);
  EXPECT_EQ(same.key_ignore, base.key_ignore);
  EXPECT_EQ(same.negative, base.negative);
  EXPECT_EQ(same.scope, base.scope);
}

TEST(ConfigPolicyTest, WhatIsGivenTakesThePlaceOfTheWhole) {
  Policy base;
  base.key_metadata = {"x-tenant", "x-region"};
  base.forward = {"x-a"};
  base.answer_metadata = {"x-b"};
  base.negative = {{absl::StatusCode::kNotFound, seconds(1)}};
  const Policy changed = Load(R"(
cache = "prices"
key.metadata = ["x-user"]
forward = ["traceparent", "trace-bin"]
answer.metadata = []
key.mode = "message"
negative = { INVALID_ARGUMENT = "10s" }
)")
                             .Apply(base);
  EXPECT_EQ(changed.cache, "prices");
  EXPECT_EQ(changed.key_metadata, Names{"x-user"});
  EXPECT_EQ(changed.forward, (Names{"traceparent", "trace-bin"}));
  EXPECT_EQ(changed.answer_metadata, Names());
  EXPECT_EQ(changed.key_mode, KeyMode::kMessage);
  EXPECT_EQ(changed.negative, (Negative{{absl::StatusCode::kInvalidArgument, seconds(10)}}));
}

TEST(ConfigPolicyTest, DottedKeysInlineTablesAndSectionsAreTheSame) {
  const MethodConfig dotted =
      Load("key.metadata = ['x-a']\nkey.mode = 'message'\nkey.ignore = ['a.b_c', 'd']\n");
  EXPECT_EQ(dotted.key_metadata, Names{"x-a"});
  EXPECT_EQ(dotted.key_mode, KeyMode::kMessage);
  EXPECT_EQ(dotted.key_ignore, (Names{"a.b_c", "d"}));
  for (const char* other :
       {"key = { metadata = ['x-a'], mode = 'message', ignore = ['a.b_c', 'd'] }",
        "[method.key]\nmetadata = ['x-a']\nmode = 'message'\nignore = ['a.b_c', 'd']",
        "key.mode = 'message'\nttl = '1s'\nkey.ignore = ['a.b_c', 'd']\nkey.metadata = ['x-a']"}) {
    MethodConfig same = Load(other);
    same.ttl = dotted.ttl;
    same.where = dotted.where;
    EXPECT_EQ(same, dotted) << other;
  }
  EXPECT_EQ(Load("answer = { metadata = ['x-b'] }").answer_metadata, Names{"x-b"});
}

TEST(ConfigPolicyTest, ScopeIsReadAndLeftToTheCode) {
  EXPECT_EQ(Load("scope = 'session'").scope, Scope::kSession);
  EXPECT_EQ(Load("scope = 'state'").scope, Scope::kState);
  const MethodConfig server = Load("scope = 'server'");
  EXPECT_EQ(server.scope, Scope::kServer);
  EXPECT_EQ(server.Apply({}).scope, Scope::kSession);
}

TEST(ConfigPolicyTest, IgnoredFieldsMakeItAMessageKey) {
  EXPECT_EQ(Load("key.ignore = ['a']").Apply({}).key_mode, KeyMode::kMessage);
  EXPECT_EQ(Load("key.ignore = []").Apply({}).key_mode, KeyMode::kBytes);
  EXPECT_EQ(Load("key.ignore = []\nkey.mode = 'bytes'").Apply({}).key_mode, KeyMode::kBytes);
  Policy ignoring;
  ignoring.key_ignore = {"a"};
  EXPECT_EQ(Load("").Apply(ignoring).key_mode, KeyMode::kMessage);
  EXPECT_EQ(Load("key.mode = 'bytes'").Apply(ignoring).key_mode, KeyMode::kBytes)
      << "for CheckPolicies to refuse";
}

TEST(ConfigPolicyTest, ErrorsToRememberHaveATimeEach) {
  const Negative expected = {{absl::StatusCode::kNotFound, seconds(10)},
                             {absl::StatusCode::kInvalidArgument, std::nullopt}};
  for (const char* form : {"negative = { NOT_FOUND = '10s', INVALID_ARGUMENT = 'none' }",
                           "negative.NOT_FOUND = '10s'\nnegative.INVALID_ARGUMENT = 'none'",
                           "[method.negative]\nNOT_FOUND = '10s'\nINVALID_ARGUMENT = 'none'"}) {
    EXPECT_EQ(Load(form).negative, expected) << form;
  }
  for (const char* code :
       {"UNKNOWN", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
        "INTERNAL", "DATA_LOSS", "UNAUTHENTICATED"}) {
    const MethodConfig method = Load(absl::StrCat("negative.", code, " = '5m'"));
    ASSERT_TRUE(method.negative && method.negative->size() == 1) << code;
    EXPECT_EQ(absl::StatusCodeToString(method.negative->begin()->first), code);
    EXPECT_EQ(method.negative->begin()->second, minutes(5));
  }
}

TEST(ConfigPolicyTest, NoErrorsTakesAwayTheCodes) {
  Policy base;
  base.negative = {{absl::StatusCode::kNotFound, seconds(1)}};
  EXPECT_EQ(Load("negative = {}").Apply(base).negative, Negative());
}

// --- what is refused ---

TEST(ConfigPolicyTest, BadValueTellsWhatIsAllowed) {
  EXPECT_EQ(Error("scope = 'global'"),
            "memod.toml:3: method.scope: got \"global\"; want one of session, state, server");
  EXPECT_EQ(Error("cache = ''"),
            "memod.toml:3: method.cache: got \"\"; want a name of printable ASCII characters");
  EXPECT_EQ(Error("cache = \"a\\nb\""),
            "memod.toml:3: method.cache: got \"a\\nb\"; want a name of printable ASCII characters");
  EXPECT_EQ(Error("key.mode = 'text'"),
            "memod.toml:3: method.key.mode: got \"text\"; want one of bytes, message");
}

TEST(ConfigPolicyTest, ListIsAnArrayOfTexts) {
  for (const auto& [key, example] :
       std::vector<std::pair<std::string, std::string>>{{"key.metadata", "x-tenant"},
                                                        {"forward", "traceparent"},
                                                        {"answer.metadata", "x-price-date"}}) {
    EXPECT_EQ(Error(key + " = 'x-a'"), absl::StrCat("memod.toml:3: method.", key,
                                                    ": got \"x-a\"; want an array of metadata ",
                                                    "names, such as [\"", example, "\"]"));
    EXPECT_EQ(Error(key + " = ['x-a', 5]"),
              absl::StrCat("memod.toml:3: method.", key, ": got 5; want a metadata name"));
    EXPECT_EQ(Error(key + " = ['x-a', ['x-b']]"),
              absl::StrCat("memod.toml:3: method.", key, ": got an array; want a metadata name"));
  }
  EXPECT_EQ(Error("key.ignore = 'a'"),
            "memod.toml:3: method.key.ignore: got \"a\"; want an array of field paths, "
            "such as [\"options.trace_id\"]");
}

TEST(ConfigPolicyTest, ListTellsWhichElementIsWrong) {
  EXPECT_EQ(Error("\nforward = ['x-a', 'X-B']"),
            "memod.toml:4: method.forward: got \"X-B\"; want lower case, \"x-b\"");
  EXPECT_EQ(Error("key.metadata = ['memo-session']"),
            "memod.toml:3: method.key.metadata: got \"memo-session\"; want none of memod's and "
            "gRPC's own: memo-..., grpc-..., :..., te, content-type, user-agent, host");
  EXPECT_EQ(Error("answer.metadata = ['x a']"),
            "memod.toml:3: method.answer.metadata: got \"x a\"; want a metadata name: lower case "
            "letters, digits, \"-\", \"_\", \".\"");
  EXPECT_EQ(Error("forward = ['x-a', 'x-b', 'x-a']"),
            "memod.toml:3: method.forward: got \"x-a\" twice; want each once");
  EXPECT_EQ(Error("key.ignore = ['a', 'a[0]']"),
            "memod.toml:3: method.key.ignore: got \"a[0]\"; want a field path such as "
            "\"options.trace_id\"");
  EXPECT_EQ(Error("key.ignore = ['a', 'a']"),
            "memod.toml:3: method.key.ignore: got \"a\" twice; want each once");
}

TEST(ConfigPolicyTest, SessionMetadataIsCheckedTheSame) {
  EXPECT_EQ(ConfigError({}, "[session]\nmetadata = ['Authorization']"),
            "memod.toml:2: session.metadata: got \"Authorization\"; want lower case, "
            "\"authorization\"");
  EXPECT_EQ(ConfigError({.toml_file = {},
                         .environment = {{"MEMOD_SESSION_METADATA", "x-a,,x-b"}},
                         .flags = {{"session.metadata", "x-a,x-a"}}}),
            "MEMOD_SESSION_METADATA: got \"\"; want a metadata name: lower case letters, digits, "
            "\"-\", \"_\", \".\"\n"
            "--session.metadata: got \"x-a\" twice; want each once");
}

TEST(ConfigPolicyTest, BadErrorTellsItsOwnLine) {
  const std::string want = "want a duration from 1ms to 87600h, such as 10m, or \"none\"";
  EXPECT_EQ(Error("[method.negative]\nNOT_FOUND = '10s'\nABORTED = '0s'\nINTERNAL = 5"),
            "memod.toml:5: method.negative.ABORTED: got \"0s\"; " + want +
                "\nmemod.toml:6: method.negative.INTERNAL: got 5; " + want);
  EXPECT_EQ(Error("negative = { NOT_FOUND = 'unbounded' }"),
            "memod.toml:3: method.negative.NOT_FOUND: got \"unbounded\"; " + want);
}

TEST(ConfigPolicyTest, ErrorThatTellsNothingOfTheRequestIsRefusedWithTheReason) {
  const std::string want = "want an error that the request leads to each time: this one tells of ";
  EXPECT_EQ(Error("negative.UNAVAILABLE = '10s'"),
            "memod.toml:3: method.negative.UNAVAILABLE: " + want + "the moment");
  EXPECT_EQ(Error("negative.CANCELLED = '10s'"),
            "memod.toml:3: method.negative.CANCELLED: " + want + "the caller");
  EXPECT_EQ(Error("negative.DEADLINE_EXCEEDED = '10s'"),
            "memod.toml:3: method.negative.DEADLINE_EXCEEDED: " + want + "the caller");
  EXPECT_EQ(Error("negative.OK = '10s'"),
            "memod.toml:3: method.negative.OK: want an error: OK answers are remembered anyway");
}

TEST(ConfigPolicyTest, UnknownNameTellsTheNearest) {
  EXPECT_EQ(Error("negative = { NOT_FUND = '10s' }"),
            "memod.toml:3: unknown key method.negative.NOT_FUND; "
            "did you mean method.negative.NOT_FOUND?");
  EXPECT_EQ(Error("key.metdata = []"),
            "memod.toml:3: unknown key method.key.metdata; did you mean method.key.metadata?");
  EXPECT_EQ(Error("key_metadata = []"),
            "memod.toml:3: unknown key method.key_metadata; did you mean method.key.metadata?");
  EXPECT_EQ(Error("'key.mode' = 'bytes'"),
            "memod.toml:3: unknown key method.\\\"key.mode\\\"; did you mean method.key.mode?")
      << "in TOML a name with a dot in it is no path";
  EXPECT_EQ(Error("negativ = {}"),
            "memod.toml:3: unknown key method.negativ; did you mean method.negative?");
}

TEST(ConfigPolicyTest, UnknownNameNearNothingTellsThoseOfItsTable) {
  EXPECT_EQ(Error("\nkey = { x = 1 }"),
            "memod.toml:4: unknown key method.key.x; want one of method.key.metadata, "
            "method.key.mode, method.key.ignore");
  EXPECT_EQ(Error("negative.FIVE = '1s'"),
            "memod.toml:3: unknown key method.negative.FIVE; want one of method.negative.UNKNOWN, "
            "method.negative.INVALID_ARGUMENT, method.negative.NOT_FOUND, "
            "method.negative.ALREADY_EXISTS, method.negative.PERMISSION_DENIED, "
            "method.negative.RESOURCE_EXHAUSTED, method.negative.FAILED_PRECONDITION, "
            "method.negative.ABORTED, method.negative.OUT_OF_RANGE, method.negative.UNIMPLEMENTED, "
            "method.negative.INTERNAL, method.negative.DATA_LOSS, "
            "method.negative.UNAUTHENTICATED");
}

TEST(ConfigPolicyTest, TableIsATable) {
  EXPECT_EQ(Error("key = 'bytes'"),
            "memod.toml:3: method.key: got \"bytes\"; want a table of key.metadata, key.mode, "
            "key.ignore");
  EXPECT_EQ(Error("answer = ['x-a']"),
            "memod.toml:3: method.answer: got an array; want a table of answer.metadata");
  EXPECT_EQ(
      Error("negative = ['NOT_FOUND']")
          .find("memod.toml:3: method.negative: got an array; want a table of negative.UNKNOWN, "),
      0u);
  EXPECT_EQ(Error("ttl.a = 1"),
            "memod.toml:3: method.ttl: got a table; want a duration from 1ms to 87600h, such as "
            "10m, or \"none\"");
}

TEST(ConfigPolicyTest, AllErrorsOfASectionAreToldInItsOrder) {
  EXPECT_EQ(Error("key.mode = 1\nscope = 2\nkey.x = 3\ncache = 4"),
            "memod.toml:3: method.key.mode: got 1; want one of bytes, message\n"
            "memod.toml:4: method.scope: got 2; want one of session, state, server\n"
            "memod.toml:5: unknown key method.key.x; want one of method.key.metadata, "
            "method.key.mode, method.key.ignore\n"
            "memod.toml:6: method.cache: got 4; want a name of printable ASCII characters");
}

TEST(ConfigPolicyTest, ContradictionTellsBothKeysAndLines) {
  EXPECT_EQ(Error("key.mode = 'bytes'\nttl = '1s'\nkey.ignore = ['a']"),
            "memod.toml:5: method.key.ignore: got a list with method.key.mode = \"bytes\" "
            "(memod.toml:3); want \"message\" there");
  EXPECT_EQ(Error("forward = ['x-a', 'x-b', 'x-c']\nkey.metadata = ['x-c', 'x-a']"),
            "memod.toml:3: method.forward: got \"x-a\", which method.key.metadata has too "
            "(memod.toml:4); want it in one of them\n"
            "memod.toml:3: method.forward: got \"x-c\", which method.key.metadata has too "
            "(memod.toml:4); want it in one of them");
}

}  // namespace
}  // namespace memod
