// Metadata: what of it is in the key, what reaches a computation, and what is kept with an answer.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "memod/tests/testing/opening.h"
#include "memod/tests/testing/server_test.h"

namespace memod {
namespace {

using Sent = std::multimap<std::string, std::string>;

class MetadataTest : public ServerTest {
 protected:
  // `key` is answered with what the method is told of these names.
  void AnswerWithMetadata(const std::string& key, const std::vector<std::string>& names) {
    lab.On(key, [names](Computing& c) {
      std::vector<std::string> parts;
      for (const std::string& name : names) {
        const auto values = c.context->metadata(name);
        parts.push_back(absl::StrCat(name, "=[", Join(values), "]"));
      }
      return absl::StrJoin(parts, " ");
    });
  }
  void AnswerWithSessionMetadata(const std::string& key, const std::string& name) {
    lab.On(key, [name](Computing& c) {
      return absl::StrCat(c.self, " [", Join(c.context->session_metadata(name)), "]");
    });
  }
  static std::string Join(const std::vector<std::string_view>& values) {
    return absl::StrJoin(values, ",",
                         [](std::string* out, std::string_view value) { out->append(value); });
  }
  std::string Send(const SessionHandle& session, const std::string& key, const Sent& metadata,
                   const std::string& method = kCompute) {
    return Get(session, key, {.method = method, .metadata = metadata});
  }
  // All that a client is told with an answer, how it came aside.
  static Sent WithAnswer(const Told& told) {
    Sent rest = told.metadata;
    rest.erase("memo-cache");
    rest.erase("memo-age");
    return rest;
  }
};

// key.metadata

TEST_F(MetadataTest, AbsentEmptyAndEachListOfValuesAreDifferentKeys) {
  Serve({.probe = {.compute = {.key_metadata = {"x-a", "x-b"}}}});
  const SessionHandle session = Open("s");
  AnswerWithMetadata("x", {"x-a", "x-b"});
  const std::vector<std::pair<Sent, std::string>> different = {
      {{}, "x-a=[] x-b=[]"},
      {{{"x-a", ""}}, "x-a=[] x-b=[]"},
      {{{"x-b", ""}}, "x-a=[] x-b=[]"},
      {{{"x-a", "1"}}, "x-a=[1] x-b=[]"},
      {{{"x-b", "1"}}, "x-a=[] x-b=[1]"},
      {{{"x-a", "1"}, {"x-a", "2"}}, "x-a=[1,2] x-b=[]"},
      {{{"x-a", "2"}, {"x-a", "1"}}, "x-a=[2,1] x-b=[]"},
      {{{"x-a", "1"}, {"x-a", ""}}, "x-a=[1,] x-b=[]"},
      {{{"x-a", "12"}}, "x-a=[12] x-b=[]"},
      {{{"x-a", "1"}, {"x-b", "2"}}, "x-a=[1] x-b=[2]"},
  };
  for (const auto& [metadata, answer] : different) {
    EXPECT_EQ(Send(session, "x", metadata), "miss " + answer);
  }
  for (const auto& [metadata, answer] : different) {
    EXPECT_EQ(Send(session, "x", metadata), "hit " + answer);
  }
  EXPECT_EQ(CacheInfoOf(session, kCompute).currsize(), static_cast<int>(different.size()));
}

TEST_F(MetadataTest, AnyBytesOfABinaryNameAreInTheKey) {
  Serve({.probe = {.compute = {.key_metadata = {"x-a-bin"}}}});
  const SessionHandle session = Open("s");
  lab.On("x",
         [](Computing& c) { return absl::StrCat(c.context->metadata("x-a-bin").at(0).size()); });
  const std::string zero("\0\xff", 2);
  EXPECT_EQ(Send(session, "x", {{"x-a-bin", zero}}), "miss 2");
  EXPECT_EQ(Send(session, "x", {{"x-a-bin", zero + '\n'}}), "miss 3");
  EXPECT_EQ(Send(session, "x", {{"x-a-bin", zero}}), "hit 2");
}

TEST_F(MetadataTest, WhatAllShareIsKeyedTheSame) {
  Serve({.probe = {.shared = {.key_metadata = {"x-tenant"}}}});
  AnswerWithMetadata("x", {"x-tenant"});
  const auto call = [&](const Sent& metadata) {
    return Ask(std::nullopt, Request("x"), {.method = kShared, .metadata = metadata}).Words();
  };
  EXPECT_EQ(call({{"x-tenant", "a"}}), "miss x-tenant=[a]");
  EXPECT_EQ(call({{"x-tenant", "b"}}), "miss x-tenant=[b]");
  EXPECT_EQ(call({{"x-tenant", "a"}}), "hit x-tenant=[a]");
}

// forward

TEST_F(MetadataTest, ForwardedReachesTheMethodAndIsNotInTheKey) {
  Serve({.probe = {.compute = {.forward = {"traceparent"}}}});
  const SessionHandle session = Open("s");
  AnswerWithMetadata("x", {"traceparent"});
  EXPECT_EQ(Send(session, "x", {{"traceparent", "1"}}), "miss traceparent=[1]");
  EXPECT_EQ(Send(session, "x", {{"traceparent", "2"}}), "hit traceparent=[1]");
  EXPECT_EQ(Send(session, "x", {}), "hit traceparent=[1]");
  EXPECT_EQ(Get(session, "x", {.control = "refresh", .metadata = {{"traceparent", "3"}}}),
            "miss traceparent=[3]");
}

TEST_F(MetadataTest, NothingElseReachesTheMethod) {
  Serve({.probe = {.compute = {.key_metadata = {"x-a"}, .forward = {"x-b"}}}});
  const SessionHandle session = Open("s");
  AnswerWithMetadata("x", {"x-a", "x-b", "x-c", "authorization", "memo-session", "user-agent"});
  const Sent sent = {{"x-a", "1"}, {"x-b", "2"}, {"x-c", "3"}, {"authorization", "secret"}};
  EXPECT_EQ(Send(session, "x", sent),
            "miss x-a=[1] x-b=[2] x-c=[] authorization=[] memo-session=[] user-agent=[]");
}

TEST_F(MetadataTest, NestedCallKnowsOfItWhatItsCallerKnows) {
  Serve({.probe = {.compute = {.key_metadata = {"x-a"}, .forward = {"x-b"}},
                   .shared = {.key_metadata = {"x-a"}, .forward = {"x-c"}}}});
  const SessionHandle session = Open("s");
  AnswerWithMetadata("inner", {"x-a", "x-b", "x-c"});
  lab.On("outer", [](Computing& c) { return c.Compute("inner"); });
  lab.On("outer shared", [](Computing& c) { return c.Shared("inner"); });
  const Sent sent = {{"x-a", "1"}, {"x-b", "2"}, {"x-c", "3"}};
  EXPECT_EQ(Send(session, "outer", sent), "miss x-a=[1] x-b=[2] x-c=[]");
  EXPECT_EQ(Send(session, "inner", sent), "hit x-a=[1] x-b=[2] x-c=[]") << "under the same key";
  EXPECT_EQ(Send(session, "inner", {}), "miss x-a=[] x-b=[] x-c=[]");
  EXPECT_EQ(Send(session, "outer shared", sent), "miss x-a=[1] x-b=[] x-c=[]");
  EXPECT_EQ(Send(session, "inner", sent, kShared), "hit x-a=[1] x-b=[] x-c=[]");
}

// session.metadata

TEST_F(MetadataTest, WhatTheSessionCapturedReachesFactoryAndMethods) {
  ServeOptions options;
  options.config.session.metadata = {"authorization", "x-b"};
  Serve(options);
  Opening session(*sessions, State("s"),
                  {{"authorization", "1"}, {"x-c", "3"}, {"authorization", "2"}});
  AnswerWithSessionMetadata("authorization", "authorization");
  AnswerWithSessionMetadata("x-c", "x-c");
  const auto call = [&](const std::string& key, const Sent& metadata = {}) {
    return Ask(session.handle(), Request(key), {.metadata = metadata}).Words();
  };
  EXPECT_EQ(call("authorization"), "miss s [1,2]");
  EXPECT_EQ(call("authorization", {{"authorization", "of a call"}}), "hit s [1,2]");
  EXPECT_EQ(call("x-c"), "miss s []");
  const Metadata captured = {{"authorization", "1"}, {"authorization", "2"}};
  EXPECT_EQ(lab.opened_with("s"), captured);
}

TEST_F(MetadataTest, WhatTheSessionCapturedStaysWhenItsStateChanges) {
  ServeOptions options;
  options.config.session.metadata = {"authorization"};
  Serve(options);
  Opening session(*sessions, State("s"), {{"authorization", "at opening"}});
  AnswerWithSessionMetadata("x", "authorization");
  memo::v1::UpdateStateRequest update;
  update.mutable_state()->PackFrom(State("t"));
  ASSERT_TRUE(Ask(session.handle(), update.SerializeAsString(),
                  {.method = "/memo.v1.SessionService/UpdateState",
                   .metadata = {{"authorization", "of the update"}}})
                  .status.ok());
  EXPECT_EQ(Ask(session.handle(), Request("x")).Words(), "miss t [at opening]");
  const Metadata captured = {{"authorization", "at opening"}};
  EXPECT_EQ(lab.opened_with("t"), captured);
}

TEST_F(MetadataTest, WhatTheSessionCapturedReachesNoFunctionThatAllShare) {
  ServeOptions options;
  options.config.session.metadata = {"authorization"};
  Serve(options);
  Opening session(*sessions, State("s"), {{"authorization", "secret"}});
  AnswerWithSessionMetadata("x", "authorization");
  lab.On("outer", [](Computing& c) { return c.Shared("x"); });
  EXPECT_EQ(Ask(session.handle(), Request("outer")).Words(), "miss  []");
  EXPECT_EQ(Ask(session.handle(), Request("x"), {.method = kShared}).Words(), "hit  []");
}

// answer.metadata

TEST_F(MetadataTest, AnswersMetadataIsTheSameOnMissAndHitAndUnlistedIsDropped) {
  Serve({.probe = {.compute = {.answer_metadata = {"x-kept", "x-kept-bin", "x-empty"}}}});
  const SessionHandle session = Open("s");
  const std::string bytes("\0\n\xff", 3);
  lab.On("x", [bytes](Computing& c) {
    for (const auto& [name, value] : Metadata{{"x-kept", "2"},
                                              {"x-dropped", "d"},
                                              {"x-kept-bin", bytes},
                                              {"x-kept", "1"},
                                              {"x-empty", ""},
                                              {"x-dropped-bin", bytes}}) {
      EXPECT_TRUE(c.context->AddAnswerMetadata(name, value).ok());
    }
    return c.key;
  });
  const Told miss = Ask(session.handle(), Request("x"));
  const Told hit = Ask(session.handle(), Request("x"));
  const Sent kept = {{"x-kept", "2"}, {"x-kept", "1"}, {"x-kept-bin", bytes}, {"x-empty", ""}};
  EXPECT_EQ(miss.Words(), "miss x");
  EXPECT_EQ(hit.Words(), "hit x");
  EXPECT_EQ(WithAnswer(miss), kept);
  EXPECT_EQ(WithAnswer(hit), kept);
  for (const char* control : {"bypass", "refresh", "no-store"}) {
    EXPECT_EQ(WithAnswer(Ask(session.handle(), Request("x"), {.control = control})), kept);
  }
}

TEST_F(MetadataTest, AllWhoWaitGetTheAnswersMetadata) {
  Serve({.probe = {.compute = {.answer_metadata = {"x-kept"}}}});
  const SessionHandle session = Open("s");
  lab.On("x", [this](Computing& c) {
    lab.gate("x").Pass();
    EXPECT_TRUE(c.context->AddAnswerMetadata("x-kept", "v").ok());
    return c.key;
  });
  const auto calls = StartMany(session, "x", 3);
  lab.gate("x").Open();
  for (Call* call : calls) EXPECT_EQ(call->Wait().Metadata("x-kept"), "v");
}

TEST_F(MetadataTest, WithAnErrorNoneGoesOut) {
  Serve({.probe = {.compute = {.answer_metadata = {"x-kept"},
                               .negative = {{absl::StatusCode::kNotFound, std::nullopt}}}}});
  const SessionHandle session = Open("s");
  lab.On("x", [](Computing& c) -> absl::StatusOr<std::string> {
    EXPECT_TRUE(c.context->AddAnswerMetadata("x-kept", "v").ok());
    return absl::NotFoundError("x");
  });
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(WithAnswer(Ask(session.handle(), Request("x"))), Sent());
  }
}

TEST_F(MetadataTest, ValueThatIsNotPrintableIsRefusedUnlessItsNameEndsInBin) {
  Serve({.probe = {.compute = {.answer_metadata = {"x-kept", "x-kept-bin"}}}});
  const SessionHandle session = Open("s");
  lab.On("x", [](Computing& c) {
    for (const char* bad : {"\n", "\x7f", "\xc3\xb6", "\t"}) {
      const absl::Status status = c.context->AddAnswerMetadata("x-kept", bad);
      EXPECT_EQ(status, absl::InvalidArgumentError(
                            "the answer's metadata \"x-kept\" has a value that is not printable "
                            "ASCII; a name for any bytes ends in -bin"));
      EXPECT_TRUE(c.context->AddAnswerMetadata("x-kept-bin", bad).ok());
    }
    EXPECT_TRUE(c.context->AddAnswerMetadata("x-kept", " ~").ok());
    return c.key;
  });
  for (int i = 0; i < 2; ++i) {
    const Told told = Ask(session.handle(), Request("x"));
    EXPECT_EQ(told.metadata.count("x-kept"), 1u);
    EXPECT_EQ(told.Metadata("x-kept"), " ~");
    EXPECT_EQ(told.metadata.count("x-kept-bin"), 4u);
  }
}

// Of which clients take no more than 8 KiB by default, or give up the connection.
TEST_F(MetadataTest, MetadataBeyondItsLimitIsTheMethodsErrorToHandle) {
  Serve({.probe = {.compute = {.answer_metadata = {"x-kept"}}}});
  const SessionHandle session = Open("s");
  lab.On("k", [](Computing& c) -> absl::StatusOr<std::string> {
    EXPECT_TRUE(c.context->AddAnswerMetadata("x-kept", std::string(4000, 'x')).ok());
    const absl::Status status = c.context->AddAnswerMetadata("x-kept", std::string(100, 'x'));
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    return "answer";
  });
  const Told told = Ask(session.handle(), Request("k"));
  EXPECT_EQ(told.metadata.count("x-kept"), 1u);
  EXPECT_EQ(told.Metadata("x-kept").size(), 4000u);
}

TEST_F(MetadataTest, MetadataIsChargedAndCountsAgainstMaxEntryBytes) {
  Serve({.probe = {.compute = {.max_entry_bytes = 1000, .answer_metadata = {"x-kept"}}}});
  const SessionHandle session = Open("s");
  for (const int size : {100, 612, 2000}) {
    lab.On(absl::StrCat(size), [size](Computing& c) {
      EXPECT_TRUE(c.context->AddAnswerMetadata("x-kept", std::string(size, 'x')).ok());
      return "same";
    });
  }
  Get(session, "100");
  const int64_t small = CacheInfoOf(session, kCompute).bytes();
  Get(session, "612");
  EXPECT_EQ(CacheInfoOf(session, kCompute).bytes(), 2 * small + 512);
  EXPECT_EQ(Ask(session.handle(), Request("2000")).Metadata("x-kept").size(), 2000u);
  EXPECT_EQ(CacheInfoOf(session, kCompute).too_large(), 1);
}

}  // namespace
}  // namespace memod
