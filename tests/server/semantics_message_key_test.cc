// key.mode = "message" and key.ignore, as callers and methods see them. To the last field:
// message_key's own tests.
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "memod/tests/testing/server_test.h"

namespace memod {
namespace {

using memo::testing::v1::ProbeRequest;

class MessageKeyTest : public ServerTest {
 protected:
  // A request's fields one by one, to be sent in any order: fields of one message when put
  // together.
  static std::string Trace(const std::string& trace) {
    ProbeRequest request;
    request.set_trace(trace);
    return request.SerializeAsString();
  }
  static std::string Label(const std::string& name, const std::string& value) {
    ProbeRequest request;
    (*request.mutable_labels())[name] = value;
    return request.SerializeAsString();
  }
  // 99: 1
  static std::string Unknown() { return "\x98\x06\x01"; }

  // "x" is answered with all that reaches the method.
  void AnswerWithRequest() {
    lab.On("x", [](Computing& c) {
      const auto& unknown = c.request.GetReflection()->GetUnknownFields(c.request);
      return absl::StrCat(c.request.trace(), " ", c.request.labels_size(), " ",
                          unknown.field_count());
    });
  }
  std::string Send(const SessionHandle& session, const std::string& request) {
    return Ask(session.handle(), request).Words();
  }
  // With fields to ignore.
  void ServeIgnoring(std::vector<std::string> fields) {
    ServeOptions options;
    options.probe.compute.key_ignore = std::move(fields);
    Serve(options);
  }
};

TEST_F(MessageKeyTest, OrderOfFieldsAndOfAMapIsNoDifference) {
  Serve({.probe = {.compute = {.key_mode = KeyMode::kMessage}}});
  const SessionHandle session = Open("s");
  AnswerWithRequest();
  EXPECT_EQ(Send(session, Request("x") + Trace("t") + Label("a", "1") + Label("b", "2")),
            "miss t 2 0");
  EXPECT_EQ(Send(session, Label("b", "2") + Label("a", "1") + Trace("t") + Request("x")),
            "hit t 2 0");
  EXPECT_EQ(Send(session, Trace("gone") + Request("x") + Label("b", "3") + Label("a", "1") +
                              Trace("t") + Label("b", "2")),
            "hit t 2 0")
      << "the last of a field counts";
  EXPECT_EQ(Send(session, Request("x") + Trace("t") + Label("a", "2") + Label("b", "1")),
            "miss t 2 0");
}

TEST_F(MessageKeyTest, UnknownFieldsAreNotInTheKeyAndDoNotReachTheMethod) {
  Serve({.probe = {.compute = {.key_mode = KeyMode::kMessage}}});
  const SessionHandle session = Open("s");
  AnswerWithRequest();
  EXPECT_EQ(Send(session, Request("x") + Unknown()), "miss  0 0");
  EXPECT_EQ(Send(session, Request("x")), "hit  0 0");
}

TEST_F(MessageKeyTest, ByBytesEachEncodingIsItsOwnAndUnknownFieldsReachTheMethod) {
  Serve();
  const SessionHandle session = Open("s");
  AnswerWithRequest();
  EXPECT_EQ(Send(session, Request("x") + Trace("t")), "miss t 0 0");
  EXPECT_EQ(Send(session, Trace("t") + Request("x")), "miss t 0 0");
  EXPECT_EQ(Send(session, Request("x") + Unknown()), "miss  0 1");
  EXPECT_EQ(Send(session, Request("x")), "miss  0 0");
}

TEST_F(MessageKeyTest, IgnoredFieldIsNotInTheKeyAndReachesTheMethod) {
  ServeIgnoring({"trace"});
  const SessionHandle session = Open("s");
  AnswerWithRequest();
  EXPECT_EQ(CacheInfoOf(session, kCompute).policy().key_mode(), "message");
  EXPECT_EQ(Send(session, Request("x") + Trace("1")), "miss 1 0 0");
  EXPECT_EQ(Send(session, Request("x") + Trace("2")), "hit 1 0 0");
  EXPECT_EQ(Send(session, Request("x")), "hit 1 0 0");
  EXPECT_EQ(Send(session, Request("x") + Trace("1") + Label("a", "1")), "miss 1 1 0");
}

TEST_F(MessageKeyTest, IgnoredMapIsNotInTheKey) {
  ServeIgnoring({"labels", "trace"});
  const SessionHandle session = Open("s");
  AnswerWithRequest();
  EXPECT_EQ(Send(session, Request("x") + Label("a", "1")), "miss  1 0");
  EXPECT_EQ(Send(session, Trace("t") + Request("x") + Label("b", "1") + Label("c", "1")),
            "hit  1 0");
  EXPECT_EQ(Send(session, Request("y") + Label("a", "1")), "miss s:y");
}

TEST_F(MessageKeyTest, EqualCallsInOtherBytesShareOneComputation) {
  ServeIgnoring({"trace"});
  const SessionHandle session = Open("s");
  lab.On("x", [this](Computing& c) {
    lab.gate("x").Pass();
    return c.request.trace();
  });
  Call& first = StartBytes(session.handle(), Request("x") + Trace("1"));
  ASSERT_TRUE(lab.gate("x").AwaitArrived());
  Call& second = StartBytes(session.handle(), Trace("2") + Request("x"));
  EXPECT_TRUE(Soon([&] { return CacheInfoOf(session, kCompute).coalesced(); }, 1));
  lab.gate("x").Open();
  EXPECT_EQ(first.Words(), "miss 1");
  EXPECT_EQ(second.Words(), "coalesced 1");
}

TEST_F(MessageKeyTest, MetadataIsInTheKeyBesideTheMessage) {
  Serve({.probe = {.compute = {.key_metadata = {"x-a"}, .key_mode = KeyMode::kMessage}}});
  const SessionHandle session = Open("s");
  const auto send = [&](const std::string& request, const std::string& value) {
    return Ask(session.handle(), request, {.metadata = {{"x-a", value}}}).Words();
  };
  EXPECT_EQ(send(Request("x") + Trace("t"), "1"), "miss s:x");
  EXPECT_EQ(send(Request("x") + Trace("t"), "2"), "miss s:x");
  EXPECT_EQ(send(Trace("t") + Request("x"), "1"), "hit s:x");
}

TEST_F(MessageKeyTest, RequestThatIsNoMessageIsToldAndEqualsNone) {
  ServeIgnoring({"trace"});
  const SessionHandle session = Open("s");
  EXPECT_EQ(Send(session, ""), "miss s:");
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Send(session, "\xff"), "INVALID_ARGUMENT BAD_REQUEST");
    EXPECT_EQ(Send(session, Request("x") + "\xff"), "INVALID_ARGUMENT BAD_REQUEST");
  }
  EXPECT_EQ(CacheInfoOf(session, kCompute).currsize(), 1);
}

TEST_F(MessageKeyTest, NestedCallsHaveTheSameKeys) {
  ServeIgnoring({"trace"});
  const SessionHandle session = Open("s");
  lab.On("outer", [](Computing& c) { return c.Compute("x"); });
  EXPECT_EQ(Send(session, Request("x") + Trace("1")), "miss s:x");
  EXPECT_EQ(Send(session, Request("outer") + Trace("2")), "miss s:x");
  EXPECT_EQ(lab.computed("x"), 1);
}

}  // namespace
}  // namespace memod
