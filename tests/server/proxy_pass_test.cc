// What nobody here serves passes through as it is: the same call through memod and past it is seen
// and answered the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memod/tests/testing/upstream_test.h"

namespace memod {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Messages = std::vector<std::string>;

// What a client was told of a call, and what the upstream saw of it.
struct Heard {
  Messages messages;
  int code = 0;
  std::string message, details;
  Entries metadata, trailers;
  Entries seen;

  bool operator==(const Heard&) const = default;
};

void PrintTo(const Heard& heard, std::ostream* out) {
  *out << heard.code << " " << heard.message << ", " << heard.messages.size() << " messages, "
       << testing::PrintToString(heard.metadata) << testing::PrintToString(heard.trailers)
       << testing::PrintToString(heard.seen);
}

const Entries kManyEntries = {{"x-one", "1"},
                              {"x-two", "b"},
                              {"x-two", "a"},
                              {"x-two", ""},
                              {"x-bytes-bin", std::string("\0\xff\n", 3)},
                              {"x-bytes-bin", ""},
                              {"authorization", "Bearer 1"},
                              {"x-empty", ""}};

class ProxyPassTest : public UpstreamTest {
 protected:
  Heard Hear(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
             const Messages& requests, const Entries& metadata = {}) {
    StreamCall call(channel, method, {.metadata = metadata});
    for (const std::string& request : requests) call.Write(request);
    call.HalfClose();
    Heard heard;
    heard.messages = call.ReadAll();
    const Told told = call.Finish();
    heard.code = told.status.error_code();
    heard.message = told.status.error_message();
    heard.details = told.status.error_details();
    heard.metadata = told.metadata;
    heard.trailers = told.trailers;
    heard.seen = upstream.seen(method).back().metadata;
    return heard;
  }
  // Through memod; and expects it to be the same past it.
  Heard HearBoth(const std::string& method, const Messages& requests,
                 const Entries& metadata = {}) {
    Heard heard = Hear(through(), method, requests, metadata);
    EXPECT_EQ(heard, Hear(direct(), method, requests, metadata));
    return heard;
  }
};

TEST_F(ProxyPassTest, EveryKindOfStreaming) {
  ServeBefore();
  upstream.On("/a.B/ClientStream", Join);
  upstream.On("/a.B/ServerStream", EndWith(grpc::Status::OK, {}, {"1", "2", "3"}));
  EXPECT_THAT(HearBoth("/a.B/Unary", {"x"}).messages, ElementsAre("x"));
  EXPECT_THAT(HearBoth("/a.B/ClientStream", {"x", "y", "z"}).messages, ElementsAre("xyz"));
  EXPECT_THAT(HearBoth("/a.B/ServerStream", {"x"}).messages, ElementsAre("1", "2", "3"));
  EXPECT_THAT(HearBoth("/a.B/Bidi", {"x", "", "z"}).messages, ElementsAre("x", "", "z"));
  EXPECT_THAT(HearBoth("/a.B/Nothing", {}).messages, ElementsAre());
}

// A conversation: each word is answered before the next is said.
TEST_F(ProxyPassTest, MessagesGoOnAsTheyCome) {
  ServeBefore();
  StreamCall call(through(), kEcho);
  for (const char* word : {"a", "b", "c"}) {
    ASSERT_TRUE(call.Write(word));
    EXPECT_EQ(call.Read(), word);
  }
  call.HalfClose();
  EXPECT_EQ(call.Read(), std::nullopt);
  EXPECT_TRUE(call.Finish().status.ok());
}

// An upstream that speaks first, as a watch does.
TEST_F(ProxyPassTest, MetadataAndMessagesComeBeforeTheClientSaysAnything) {
  ServeBefore();
  upstream.On(kEcho, [](UpstreamCall& call) {
    call.SendMetadata({{"x-first", "yes"}});
    call.Read();
    call.Write("second");
    call.Read();
    call.Finish(grpc::Status::OK);
  });
  StreamCall call(through(), kEcho);
  call.AwaitMetadata();
  ASSERT_TRUE(call.Write("go on"));
  EXPECT_EQ(call.Read(), "second");
  call.HalfClose();
  EXPECT_EQ(call.Finish().Metadata("x-first"), "yes");
}

TEST_F(ProxyPassTest, HalfCloseIsSeenAndTheAnswersThatComeAfterIt) {
  ServeBefore();
  bool half_closed = false;
  upstream.On(kEcho, [&](UpstreamCall& call) {
    while (call.Read()) {
    }
    half_closed = call.half_closed();
    for (const char* word : {"late", "later"}) call.Write(word);
    call.Finish(grpc::Status::OK);
  });
  EXPECT_THAT(HearBoth(kEcho, {"x"}).messages, ElementsAre("late", "later"));
  EXPECT_TRUE(half_closed);
}

TEST_F(ProxyPassTest, UpstreamMayEndBeforeTheClientHasSaidAll) {
  ServeBefore();
  upstream.On(kEcho, [](UpstreamCall& call) {
    call.Read();
    call.Finish(grpc::Status(grpc::StatusCode::OUT_OF_RANGE, "enough"), {{"x-read", "1"}});
  });
  StreamCall call(through(), kEcho);
  call.Write("1");
  EXPECT_EQ(call.Read(), std::nullopt);
  const Told told = call.Finish();
  EXPECT_EQ(told.Words(), "OUT_OF_RANGE: enough");
  EXPECT_EQ(told.Trailer("x-read"), "1");
}

TEST_F(ProxyPassTest, MetadataGoesBothWaysWithBytesAndRepeatedNamesInTheirOrder) {
  ServeBefore();
  for (const char* method : {kEcho, kKnown}) {
    upstream.On(method, [](UpstreamCall& call) {
      call.Read();
      call.SendMetadata(kManyEntries);
      call.Write("x");
      call.Finish(grpc::Status::OK, kManyEntries);
    });
    const Heard heard = HearBoth(method, {"x"}, kManyEntries);
    EXPECT_EQ(heard.trailers, kManyEntries);
    EXPECT_EQ(heard.metadata, kManyEntries);
    Entries seen = heard.seen;
    seen.erase("user-agent");
    EXPECT_EQ(seen, kManyEntries);
  }
}

TEST_F(ProxyPassTest, EveryStatusCodeWithItsMessageDetailsAndTrailers) {
  ServeBefore();
  const std::string details("\x08\x05 any bytes \0\xff", 14);
  for (int code = 0; code <= 16; ++code) {
    const std::string text = code == 0 ? "" : absl::StrCat("it is \xe2\x82\xac", code, "\n%");
    const grpc::Status status(static_cast<grpc::StatusCode>(code), text, code == 0 ? "" : details);
    for (const Messages& before : {Messages{}, Messages{"1", "2"}}) {
      const std::string method = absl::StrCat("/a.B/Ends", code, "After", before.size());
      upstream.On(method, EndWith(status, {{"x-t", "1"}, {"x-t-bin", "\xff"}}, before));
      const Heard heard = HearBoth(method, {"x"});
      EXPECT_EQ(heard.code, code);
      EXPECT_EQ(heard.message, text);
      EXPECT_EQ(heard.details, status.error_details());
      EXPECT_EQ(heard.messages, before);
      EXPECT_EQ(heard.trailers.count("x-t-bin"), 1u);
    }
  }
}

TEST_F(ProxyPassTest, EveryStatusCodeOfAMethodThatIsKnownToBeUnary) {
  ServeBefore();
  for (int code = 1; code <= 16; ++code) {
    const grpc::Status status(static_cast<grpc::StatusCode>(code), absl::StrCat("it is ", code),
                              "details");
    upstream.On(kKnown, EndWith(status, {{"x-t", "1"}, {"x-t-bin", "\xff"}}));
    const Heard heard = HearBoth(kKnown, {"x"});
    EXPECT_EQ(heard.code, code);
    EXPECT_EQ(heard.details, "details");
    EXPECT_EQ(heard.trailers.count("x-t-bin"), 1u);
  }
}

// One that gRPC's enum can hold, if not name: of others its own headers are undefined behaviour.
TEST_F(ProxyPassTest, CodeThatIsNoneOfGrpcsGoesThroughToo) {
  ServeBefore();
  upstream.On(kEcho, EndWith(grpc::Status(static_cast<grpc::StatusCode>(30), "odd")));
  HearBoth(kEcho, {"x"});
}

TEST_F(ProxyPassTest, MemodsOwnMetadataIsKeptOutBothWays) {
  ServeBefore();
  upstream.On(kEcho, [](UpstreamCall& call) {
    call.Read();
    call.SendMetadata({{"memo-cache", "hit"}, {"x-a", "1"}});
    call.Write("x");
    call.Finish(grpc::Status(grpc::StatusCode::NOT_FOUND, "no"), {{"memo-error", "LIMIT"}});
  });
  const Heard heard =
      Hear(through(), kEcho, {"x"}, {{"memo-session", "s"}, {"memo-control", "bypass"}});
  EXPECT_EQ(heard.metadata, (Entries{{"x-a", "1"}}));
  EXPECT_EQ(heard.trailers, Entries());
  EXPECT_EQ(heard.seen.count("memo-session") + heard.seen.count("memo-control"), 0u);
}

// The same from a handler that is registered, of a method that is memoized in sessions only.
TEST_F(ProxyPassTest, MemoizedMethodPassesWhereThereIsNoSession) {
  ServeBefore({Remote(nullptr, kEcho)});
  upstream.On(kEcho, [](UpstreamCall& call) {
    const auto request = call.Read();
    call.SendMetadata(kManyEntries);
    call.Write(*request);
    call.Finish(grpc::Status::OK, kManyEntries);
  });
  EXPECT_THAT(HearBoth(kEcho, {"x"}, kManyEntries).messages, ElementsAre("x"));
  upstream.On(kEcho, EndWith(grpc::Status(grpc::StatusCode::ABORTED, "no", "why"), kManyEntries));
  EXPECT_EQ(HearBoth(kEcho, {"x"}, kManyEntries).details, "why");
  EXPECT_EQ(upstream.calls(), 4);
}

// Where calls go

TEST_F(ProxyPassTest, WithoutAnUpstreamWhatIsUnknownIsUnimplemented) {
  Serve();
  const Told told = Ask(std::nullopt, "x", {.method = kEcho});
  EXPECT_EQ(told.Words(), "UNIMPLEMENTED: no method \"/upstream.v1.Plain/Echo\"");
}

TEST_F(ProxyPassTest, WhatIsServedHereNeverGoesUpstream) {
  ServeBefore();
  const SessionHandle session = Open("a");
  EXPECT_EQ(Get(session, "x"), "miss a:x");
  for (const char* method : {"/memo.testing.v1.Probe/Nope", "/memo.v1.SessionService/Nope",
                             "/grpc.health.v1.Health/Nope",
                             "/grpc.reflection.v1.ServerReflection/Nope", "/nothing", "/"}) {
    EXPECT_EQ(Ask(std::nullopt, "", {.method = method}).status.error_code(),
              grpc::StatusCode::UNIMPLEMENTED)
        << method;
  }
  EXPECT_EQ(upstream.calls(), 0);
}

TEST_F(ProxyPassTest, EachServiceGoesToTheUpstreamThatHasIt) {
  FakeUpstream other;
  ServeOptions options;
  UpstreamConfig config;
  config.name = "other";
  config.target = other.target();
  config.services = {"other.v1.One", "other.v1.Two"};
  config.channels = 3;
  options.config.upstreams.push_back(config);
  ServeBefore({}, options);
  for (const char* method : {"/other.v1.One/A", "/other.v1.Two/A", "/other.v1.Two/B", "/rest/A"}) {
    EXPECT_TRUE(Ask(std::nullopt, "x", {.method = method}).status.ok()) << method;
  }
  EXPECT_EQ(other.calls(), 3);
  EXPECT_EQ(upstream.calls("/rest/A"), 1);
}

}  // namespace
}  // namespace memod
