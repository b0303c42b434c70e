// AdminService.ExplainKey: what makes a call's key, and why two keys differ.
#include "memod/server/explain_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memod/tests/testing/opening.h"
#include "memod/tests/testing/server_test.h"

namespace memod {
namespace {

using memo::v1::ExplainKeyRequest;
using memo::v1::ExplainKeyResponse;
using memo::v1::KeyExplanation;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ExplainKeyTest : public ServerTest {
 protected:
  static memo::v1::DescribedCall Describe(const std::string& session_id, const std::string& request,
                                          const Metadata& metadata = {},
                                          const std::string& method = kCompute) {
    memo::v1::DescribedCall call;
    call.set_session_id(session_id);
    call.set_method(method);
    call.set_request(request);
    for (const auto& [name, value] : metadata) {
      auto* entry = call.add_metadata();
      entry->set_name(name);
      entry->set_value(value);
    }
    return call;
  }
  ExplainKeyResponse Explain(const memo::v1::DescribedCall& call,
                             const std::optional<memo::v1::DescribedCall>& other = std::nullopt) {
    ExplainKeyRequest request;
    *request.mutable_call() = call;
    if (other) *request.mutable_other() = *other;
    ExplainKeyResponse response;
    grpc::ClientContext context;
    error = admin->ExplainKey(&context, request, &response);
    return response;
  }
  // "equal", or the differences.
  std::string Compare(const memo::v1::DescribedCall& call, const memo::v1::DescribedCall& other) {
    const ExplainKeyResponse response = Explain(call, other);
    EXPECT_TRUE(error.ok()) << error.error_message();
    EXPECT_EQ(response.equal(), response.differences().empty());
    if (response.equal()) return "equal";
    std::string lines;
    for (const std::string& line : response.differences()) {
      absl::StrAppend(&lines, lines.empty() ? "" : "\n", line);
    }
    return lines;
  }
  static std::vector<std::string> Parts(const KeyExplanation& key) {
    std::vector<std::string> parts;
    for (const auto& part : key.parts()) {
      parts.push_back(absl::StrCat(part.name(), ": ", part.value(), " (", part.bytes(),
                                   part.digest() ? ", digest)" : ")"));
    }
    return parts;
  }
  static std::string Bytes(const std::string& key, const std::string& trace) {
    memo::testing::v1::ProbeRequest request;
    request.set_key(key);
    request.set_trace(trace);
    return request.SerializeAsString();
  }

  grpc::Status error;  // of the last Explain
};

TEST_F(ExplainKeyTest, PartsAreAllThatTheKeyIsMadeOfInOrder) {
  Serve({.probe = {.compute = {.key_metadata = {"x-b", "x-a"}, .forward = {"traceparent"}}}});
  const SessionHandle session = Open("s");
  const Metadata sent = {
      {"x-a", "1"}, {"X-A", "2\n"}, {"traceparent", "t"}, {"x-other", "o"}, {"x-other-2", ""}};
  const KeyExplanation key = Explain(Describe(session.id(), Request("x"), sent)).key();
  EXPECT_THAT(Parts(key),
              ElementsAre(absl::StrCat("memory: session ", session.id(), "'s (0)"),
                          "method: /memo.testing.v1.Probe/Compute (30)",
                          "metadata x-b: (absent) (0)", "metadata x-a: \"1\" (1)",
                          "metadata x-a: \"2\\n\" (2)", "request (its bytes): key: \"x\" (3)"));
  EXPECT_THAT(key.left_out(), ElementsAre("metadata traceparent (reaches the method)",
                                          "metadata x-other", "metadata x-other-2"));
  EXPECT_FALSE(key.remembered());
  EXPECT_FALSE(key.has_age());
}

TEST_F(ExplainKeyTest, OfAMessageKeyItSaysWhatIsLeftOut) {
  ServeOptions options;
  options.probe.compute.key_ignore = {"trace"};
  Serve(options);
  const SessionHandle session = Open("s");
  const std::string request = Bytes("x", "t") + "\x98\x06\x01";
  const KeyExplanation key = Explain(Describe(session.id(), request)).key();
  EXPECT_EQ(Parts(key).back(),
            absl::StrCat("request (as a message): key: \"x\" (", request.size(), ")"));
  EXPECT_THAT(key.left_out(), ElementsAre("request trace", "request (unknown fields)"));
}

TEST_F(ExplainKeyTest, MemoryIsEverybodysOrThatOfEqualStatesOrNamesNone) {
  ServeOptions options;
  options.probe.share_equal_states = true;
  Serve(options);
  const SessionHandle first = Open("s"), second = Open("s"), alone = Open("t");
  const auto memory = [&](const std::string& id, const char* method) {
    return Explain(Describe(id, "", {}, method)).key().parts(0).value();
  };
  EXPECT_EQ(memory("", kShared), "everybody's");
  EXPECT_EQ(memory(first.id(), kShared), "everybody's");
  EXPECT_EQ(memory(first.id(), kCompute),
            absl::StrCat("2 sessions' with equal state, ", first.id()));
  EXPECT_EQ(memory(alone.id(), kCompute), absl::StrCat("session ", alone.id(), "'s"));
  EXPECT_EQ(memory("", kCompute), "a session's: none is named");
  EXPECT_EQ(Compare(Describe(first.id(), "x"), Describe(second.id(), "x")), "equal");
}

TEST_F(ExplainKeyTest, SecretsAreShownAsDigestsOnly) {
  const std::vector<std::string> names = {"authorization", "cookie", "x-api-key", "x-token-bin"};
  Serve({.probe = {.compute = {.key_metadata = names}}});
  const SessionHandle session = Open("s");
  const std::string secret = "hunter2hunter2", other = "hunter3hunter3";
  Metadata sent, sent_other;
  for (const std::string& name : names) {
    sent.emplace_back(name, secret);
    sent_other.emplace_back(name, other);
  }
  sent.emplace_back("x-secret-not-in-the-key", secret);
  const auto response =
      Explain(Describe(session.id(), Request("x"), sent), Describe(session.id(), "", sent_other));
  ASSERT_TRUE(error.ok());
  const std::string shown = response.DebugString();
  for (const std::string& each : {secret, other, session.handle()}) {
    EXPECT_EQ(shown.find(each), std::string::npos) << shown;
  }
  const auto& part = response.key().parts(2);
  EXPECT_TRUE(part.digest());
  EXPECT_THAT(part.value(), testing::MatchesRegex("[0-9a-f]{16}"));
  EXPECT_EQ(part.bytes(), static_cast<int64_t>(secret.size()));
  EXPECT_NE(part.value(), response.other().parts(2).value());
  EXPECT_EQ(part.value(), Explain(Describe(session.id(), "", sent)).key().parts(2).value());
  EXPECT_THAT(response.differences(0), HasSubstr(absl::StrCat("authorization: ", part.value())));
}

TEST_F(ExplainKeyTest, RememberedAndItsAgeAndNothingIsTouched) {
  Serve(MaxEntries(2));
  const SessionHandle session = Open("s");
  Get(session, "x");
  Get(session, "y");
  const std::string before = Info(session);
  for (int i = 0; i < 3; ++i) {
    const KeyExplanation key = Explain(Describe(session.id(), Request("x"))).key();
    EXPECT_TRUE(key.remembered());
    EXPECT_TRUE(key.has_age());
    EXPECT_EQ(key.age().seconds(), 0);
    EXPECT_FALSE(Explain(Describe(session.id(), Request("z"))).key().remembered());
  }
  EXPECT_EQ(Info(session), before);
  EXPECT_EQ(lab.computed("z"), 0);
  Get(session, "z");  // x is still the least recent
  EXPECT_FALSE(Explain(Describe(session.id(), Request("x"))).key().remembered());
  EXPECT_TRUE(Explain(Describe(session.id(), Request("y"))).key().remembered());
}

TEST_F(ExplainKeyTest, RememberedErrorsAreRememberedAndExpiredAnswersAreNot) {
  ServeOptions options;
  options.probe.compute.negative = {{absl::StatusCode::kNotFound, std::nullopt}};
  options.probe.other.ttl = std::chrono::milliseconds(20);
  Serve(options);
  const SessionHandle session = Open("s");
  lab.On("missing", [](Computing&) { return absl::NotFoundError(""); });
  Get(session, "missing");
  EXPECT_TRUE(Explain(Describe(session.id(), Request("missing"))).key().remembered());
  Get(session, "x", {.method = kOther});
  EXPECT_TRUE(Soon(
      [&] { return Explain(Describe(session.id(), Request("x"), {}, kOther)).key().remembered(); },
      false));
  EXPECT_EQ(Info(session, kOther), "misses 1, computations 1, currsize 1") << "not touched";
}

// Differences

TEST_F(ExplainKeyTest, EqualCallsAreEqualWhateverIsNotInTheKey) {
  ServeOptions options;
  options.probe.compute.key_ignore = {"trace"};
  options.probe.compute.key_metadata = {"x-a"};
  Serve(options);
  const SessionHandle session = Open("s");
  EXPECT_EQ(Compare(Describe(session.id(), Bytes("x", "1"), {{"x-a", "1"}, {"x-b", "1"}}),
                    Describe(session.id(), Bytes("x", "2"), {{"x-b", "2"}, {"X-A", "1"}})),
            "equal");
}

TEST_F(ExplainKeyTest, EveryKindOfDifferenceIsTold) {
  Serve({.probe = {.compute = {.key_metadata = {"x-a"}}}});
  const SessionHandle a = Open("s"), b = Open("s");
  const auto call = [&](const std::string& request, const Metadata& metadata = {}) {
    return Describe(a.id(), request, metadata);
  };
  const std::string x = Request("x");
  EXPECT_EQ(Compare(call(x), Describe(b.id(), x)),
            absl::StrCat("memory: session ", a.id(), "'s vs session ", b.id(), "'s"));
  EXPECT_EQ(Compare(call(x), Describe(a.id(), x, {}, kOther)),
            absl::StrCat("method: ", kCompute, " vs ", kOther));
  EXPECT_EQ(Compare(call(x), call(x, {{"x-a", ""}})), "metadata x-a: (absent) vs \"\"");
  EXPECT_EQ(Compare(call(x, {{"x-a", "1"}, {"x-a", "2"}}), call(x, {{"x-a", "2"}, {"x-a", "1"}})),
            "metadata x-a: \"1\", \"2\" vs \"2\", \"1\"");
  EXPECT_EQ(Compare(call(x), call(Request("y"))), "request key: \"x\" vs \"y\"");
  EXPECT_EQ(Compare(call(Bytes("x", "t")), call(x)), "request trace: \"t\" vs \"\"");
  const std::string trace = Bytes("", "t");
  EXPECT_EQ(Compare(call(x + trace), call(trace + x)),
            "request: different bytes that decode to equal messages; with key.mode = \"message\" "
            "they would have one key");
  EXPECT_THAT(Compare(call("\xff"), call("\xfe")), HasSubstr("not a memo.testing.v1.ProbeRequest"));
  EXPECT_EQ(Compare(call(x, {{"x-a", "1"}}), Describe(b.id(), Request("y"), {{"x-a", "2"}})),
            absl::StrCat("memory: session ", a.id(), "'s vs session ", b.id(),
                         "'s\nmetadata x-a: \"1\" vs \"2\"\nrequest key: \"x\" vs \"y\""));
}

// Values that read alike but are not are told apart.
TEST_F(ExplainKeyTest, KeysThatDifferAlwaysSayWhy) {
  Serve({.probe = {.compute = {.key_metadata = {"x-a"}}}});
  const SessionHandle session = Open("s");
  const std::vector<Metadata> different = {
      {},
      {{"x-a", ""}},
      {{"x-a", ""}, {"x-a", ""}},
      {{"x-a", "(absent)"}},
      {{"x-a", "\""}},
      {{"x-a", "1, 2"}},
      {{"x-a", "1\", \"2"}},
      {{"x-a", "1"}, {"x-a", "2"}},
  };
  for (size_t i = 0; i < different.size(); ++i) {
    for (size_t j = 0; j < different.size(); ++j) {
      const std::string compared = Compare(Describe(session.id(), Request("x"), different[i]),
                                           Describe(session.id(), Request("x"), different[j]));
      EXPECT_EQ(compared == "equal", i == j) << i << " and " << j << ": " << compared;
      EXPECT_NE(compared, "") << i << " and " << j;
    }
  }
}

// Errors

TEST_F(ExplainKeyTest, WhatIsNotThereIsNotFound) {
  Serve();
  const SessionHandle session = Open("s");
  const auto code = [&](const memo::v1::DescribedCall& call) {
    Explain(call);
    const auto of_one = error.error_code();
    Explain(Describe(session.id(), ""), call);
    EXPECT_EQ(error.error_code(), of_one) << "the same of the other call";
    return of_one;
  };
  EXPECT_EQ(code(Describe("nope", "")), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(code(Describe(session.handle(), "")), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(code(Describe(session.id(), "", {}, "/nope.Nope/Nope")), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(code(Describe(session.id(), "", {}, "")), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(code(Describe(session.id(), "", {}, "/memo.examples.v1.SlowAdder/Calculate")),
            grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(code(Describe(session.id(), "")), grpc::StatusCode::OK);
  EXPECT_FALSE(Explain(Describe(session.id(), "")).has_other());
}

}  // namespace
}  // namespace memod
