// The rows of the models and of counting (tests/README.md) where an upstream computes: who shares
// entries, what bounds them, what a key is made of, what is kept of an answer.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memod/tests/testing/upstream_test.h"

namespace memod {
namespace {

using std::chrono::milliseconds;

constexpr char kRemoteToo[] = "/upstream.v1.Slow/ComputeToo";

class UpstreamMemoTest : public UpstreamTest {
 protected:
  // A session without a state.
  SessionHandle OpenBare() { return client->OpenSession().value(); }
  // Answers "v1", "v2", ...: which computation of its key it is.
  void Count(const std::string& key) {
    lab.On(key, [](Computing& c) { return absl::StrCat("v", c.nth); });
  }
  // What the upstream's latest call came with, but for what gRPC says itself.
  Entries Seen() {
    Entries seen = upstream.seen().back().metadata;
    seen.erase("user-agent");
    return seen;
  }
};

// Who shares

TEST_F(UpstreamMemoTest, SessionsHaveTheirOwnEntriesAndGiveThemBack) {
  ServeBefore({Remote()});
  SessionHandle a = OpenBare();
  const SessionHandle b = OpenBare();
  EXPECT_EQ(Get(a, "x", kRemote), "miss x");
  EXPECT_EQ(Get(a, "x", kRemote), "hit x");
  EXPECT_EQ(Get(b, "x", kRemote), "miss x");
  EXPECT_EQ(upstream.calls(kRemote), 2);
  EXPECT_EQ(Info(a, kRemote), "hits 1, misses 1, computations 1, currsize 1");
  EXPECT_EQ(Info(b, kRemote), "misses 1, computations 1, currsize 1");
  EXPECT_TRUE(a.Close().ok());
  EXPECT_TRUE(AliveSoon("sessions 1, entries 1"));
  EXPECT_EQ(Total(kRemote), "hits 1, misses 2, computations 2, currsize 1");
}

// The session's class is another's affair.
TEST_F(UpstreamMemoTest, SessionOfAHostedClassCallsMethodsOfTheUpstreamToo) {
  ServeBefore({Remote()});
  SessionHandle session = Open("a");
  EXPECT_EQ(Get(session, "x"), "miss a:x");
  EXPECT_EQ(Get(session, "x", kRemote), "miss x");
  EXPECT_EQ(Get(session, "x", kRemote), "hit x");
  EXPECT_TRUE(AliveSoon("sessions 1, instances 1, entries 2"));
  // Everything that is remembered was so for the old state.
  EXPECT_TRUE(session.UpdateState(State("b")).ok());
  EXPECT_EQ(Get(session, "x", kRemote), "miss x");
  EXPECT_EQ(Get(session, "x"), "miss b:x");
}

TEST_F(UpstreamMemoTest, ServerScopeIsOneCacheForAllWithASessionOrWithout) {
  ServeBefore({Public()});
  {
    const SessionHandle a = OpenBare();
    EXPECT_EQ(Get(a, "x", kRemote), "miss x");
  }
  EXPECT_TRUE(AliveSoon("entries 1"));
  EXPECT_EQ(Get(Open("b"), "x", kRemote), "hit x");
  EXPECT_EQ(AskRemote("x").Words(), "hit x");
  EXPECT_EQ(upstream.calls(), 1);
}

TEST_F(UpstreamMemoTest, HandleThatIsNoneIsNotFoundWhateverTheScope) {
  ServeBefore({Remote(), Public(nullptr, kRemoteToo)});
  for (const char* method : {kRemote, kRemoteToo}) {
    EXPECT_EQ(Ask("nobody's", Request("x"), {.method = method}).Words(),
              "NOT_FOUND SESSION_NOT_FOUND");
  }
  EXPECT_EQ(upstream.calls(), 0);
}

TEST_F(UpstreamMemoTest, WithoutASessionACallPassesOrIsRejected) {
  ServeBefore({Remote([](MethodConfig& m) { m.pass_without_session = true; }),
               Remote([](MethodConfig& m) { m.pass_without_session = false; }, kRemoteToo)});
  EXPECT_EQ(AskRemote("x").Words(), " x") << "neither hit nor miss";
  EXPECT_EQ(AskRemote("x").Words(), " x");
  EXPECT_EQ(upstream.calls(kRemote), 2);
  EXPECT_EQ(AskRemote("x", {.method = kRemoteToo}).Words(), "FAILED_PRECONDITION SESSION_REQUIRED");
  EXPECT_EQ(upstream.calls(kRemoteToo), 0);
  EXPECT_EQ(Total(kRemote), "currsize 0");
}

// Bounds

TEST_F(UpstreamMemoTest, LeastRecentlyUsedGoesAtMaxEntries) {
  ServeBefore({Remote([](MethodConfig& m) { m.max_entries = 2; })});
  const SessionHandle session = OpenBare();
  for (const char* key : {"x", "y", "x", "z"}) Get(session, key, kRemote);
  EXPECT_EQ(Get(session, "x", kRemote), "hit x");
  EXPECT_EQ(Get(session, "y", kRemote), "miss y");
  EXPECT_EQ(Info(session, kRemote), "hits 2, misses 4, computations 4, evictions 2, currsize 2");
}

TEST_F(UpstreamMemoTest, TotalBoundHoldsOverAllSessions) {
  ServeBefore({Remote([](MethodConfig& m) { m.max_entries_total = 2; })});
  const SessionHandle a = OpenBare(), b = OpenBare(), c = OpenBare();
  for (const SessionHandle* session : {&a, &b, &c}) Get(*session, "x", kRemote);
  EXPECT_EQ(Get(a, "x", kRemote), "miss x");
  EXPECT_EQ(Get(c, "x", kRemote), "hit x");
  EXPECT_TRUE(AliveSoon("sessions 3, entries 2"));
}

TEST_F(UpstreamMemoTest, MethodsOfOneCacheShareItsBoundAndNoKey) {
  const auto share = [](MethodConfig& m) {
    m.cache = "both";
    m.max_entries = 2;
  };
  ServeBefore({Remote(share), Remote(share, kRemoteToo)});
  upstream.On(kRemoteToo,
              [](UpstreamCall& call) { call.Answer(Response("too " + ReadKey(call))); });
  const SessionHandle session = OpenBare();
  EXPECT_EQ(Get(session, "x", kRemote), "miss x");
  EXPECT_EQ(Get(session, "x", kRemoteToo), "miss too x");
  EXPECT_EQ(Get(session, "x", kRemote), "hit x");
  EXPECT_EQ(Get(session, "y", kRemoteToo), "miss too y");
  EXPECT_EQ(Get(session, "x", kRemoteToo), "miss too x");
}

TEST_F(UpstreamMemoTest, NothingIsStoredAtZeroAndWhatIsTooLarge) {
  ServeBefore({Remote([](MethodConfig& m) { m.max_entries = 0; }),
               Remote([](MethodConfig& m) { m.max_entry_bytes = 1; }, kRemoteToo)});
  upstream.On(kRemoteToo, [](UpstreamCall& call) { call.Answer(Response(ReadKey(call))); });
  const SessionHandle session = OpenBare();
  for (const char* method : {kRemote, kRemoteToo, kRemote, kRemoteToo}) {
    EXPECT_EQ(Get(session, "x", method), "miss x");
  }
  EXPECT_EQ(Info(session, kRemote), "misses 2, computations 2, currsize 0");
  EXPECT_EQ(Info(session, kRemoteToo), "misses 2, computations 2, too_large 2, currsize 0");
}

TEST_F(UpstreamMemoTest, EntryExpiresAfterItsTtl) {
  ServeBefore({Remote([](MethodConfig& m) { m.ttl = milliseconds(300); })});
  Count("x");
  const SessionHandle session = OpenBare();
  EXPECT_EQ(Get(session, "x", kRemote), "miss v1");
  EXPECT_EQ(Get(session, "x", kRemote), "hit v1");
  EXPECT_TRUE(Soon([&] { return Get(session, "x", kRemote); }, "miss v2"));
  EXPECT_EQ(CacheInfoOf(session, kRemote).expirations(), 1);
}

TEST_F(UpstreamMemoTest, EmptyAnswerOfAnEmptyRequestIsStored) {
  ServeBefore({Remote([](MethodConfig& m) { m.max_entries = std::optional<int64_t>(); })});
  upstream.On(kRemote, [](UpstreamCall& call) {
    call.Read();
    call.Answer("");
  });
  const SessionHandle session = OpenBare();
  for (const char* how : {"miss ", "hit "}) {
    EXPECT_EQ(Ask(session.handle(), "", {.method = kRemote}).Words(), how);
  }
  EXPECT_FALSE(CacheInfoOf(session, kRemote).has_maxsize());
}

// memo-control

TEST_F(UpstreamMemoTest, EachWordOfMemoControlDoesWhatItSays) {
  ServeBefore({Remote()});
  Count("x");
  const SessionHandle session = OpenBare();
  EXPECT_EQ(Get(session, "x", kRemote, "only-if-cached"), "FAILED_PRECONDITION NOT_CACHED");
  EXPECT_EQ(Get(session, "x", kRemote, "no-store"), "miss v1");
  EXPECT_EQ(Get(session, "x", kRemote), "miss v2");
  EXPECT_EQ(Get(session, "x", kRemote, "bypass"), "bypass v3");
  EXPECT_EQ(Get(session, "x", kRemote, "only-if-cached"), "hit v2");
  EXPECT_EQ(Get(session, "x", kRemote, "refresh"), "miss v4");
  EXPECT_EQ(Get(session, "x", kRemote, "no-store"), "hit v4");
  EXPECT_EQ(Info(session, kRemote), "hits 2, misses 3, computations 3, currsize 1");
  EXPECT_EQ(upstream.calls(), 4);
}

// Errors

TEST_F(UpstreamMemoTest, ErrorComesAsItIsAndIsNotStored) {
  ServeBefore({Remote()});
  const Entries trailers = {{"x-a", "1"}, {"x-a", "2"}, {"x-b-bin", std::string("\0\xff", 2)}};
  const SessionHandle session = OpenBare();
  for (int code = 1; code <= 16; ++code) {
    const grpc::Status status(static_cast<grpc::StatusCode>(code), "because", "\x01 details");
    OnRemote("x", EndWith(status, trailers));
    const Told told = Ask(session.handle(), Request("x"), {.method = kRemote});
    EXPECT_EQ(told.status.error_code(), code);
    EXPECT_EQ(told.status.error_message(), "because");
    EXPECT_EQ(told.status.error_details(), "\x01 details");
    for (const auto& entry : trailers)
      EXPECT_EQ(told.trailers.count(entry.first), trailers.count(entry.first));
    EXPECT_EQ(told.Trailer("memo-error"), "");
  }
  EXPECT_EQ(Info(session, kRemote), "misses 16, computations 16, errors 16, currsize 0");
}

// The session that it tells of, or the server that stops, is not ours: clients would make it again.
TEST_F(UpstreamMemoTest, MemoErrorOfAMemodBehindIsNotToldOn) {
  ServeBefore({Remote()});
  const SessionHandle session = OpenBare();
  for (const char* word : {"DRAINING", "SESSION_NOT_FOUND"}) {
    for (const char* method : {kRemote, kKnown, kEcho}) {
      upstream.On(method, EndWith(grpc::Status(grpc::StatusCode::UNAVAILABLE, "as told elsewhere"),
                                  {{"memo-error", word}}));
      for (const auto& handle : {std::optional(session.handle()), std::optional<std::string>()}) {
        EXPECT_EQ(Ask(handle, Request("x"), {.method = method}).Words(),
                  "UNAVAILABLE: as told elsewhere")
            << method;
      }
    }
  }
}

TEST_F(UpstreamMemoTest, ErrorOfAListedCodeIsRememberedWithAllThatCameWithIt) {
  ServeBefore({Remote([](MethodConfig& m) {
    m.negative = {{absl::StatusCode::kNotFound, std::nullopt}};
  })});
  const SessionHandle session = OpenBare();
  const Entries trailers = {{"x-a", "1"}, {"x-b-bin", std::string("\0\xff", 2)}};
  OnRemote("x", EndWith(grpc::Status(grpc::StatusCode::NOT_FOUND, "none", "why"), trailers));
  OnRemote("y", EndWith(grpc::Status(grpc::StatusCode::ABORTED, "later")));
  for (const char* how : {"", "hit"}) {
    const Told told = Ask(session.handle(), Request("x"), {.method = kRemote});
    EXPECT_EQ(told.Words(), "NOT_FOUND: none");
    EXPECT_EQ(told.status.error_details(), "why");
    EXPECT_EQ(told.Metadata("memo-cache"), how);
    for (const auto& [name, value] : trailers) EXPECT_EQ(told.Trailer(name), value);
    EXPECT_EQ(Get(session, "y", kRemote), "ABORTED: later");
  }
  EXPECT_EQ(Info(session, kRemote), "hits 1, misses 3, computations 3, errors 3, currsize 1");
}

// Metadata

TEST_F(UpstreamMemoTest, OfTheAnswersMetadataWhatIsListedIsKeptHitOrMiss) {
  ServeBefore({Remote([](MethodConfig& m) { m.answer_metadata = {"x-date", "x-cost-bin"}; })});
  OnRemote("x", [](UpstreamCall& call) {
    call.SendMetadata({{"x-date", "today"}, {"x-date", "at noon"}, {"x-other", "1"}});
    call.Write(Response("x"));
    call.Finish(grpc::Status::OK, {{"x-cost-bin", std::string("\0\x7", 2)}, {"x-more", "1"}});
  });
  const SessionHandle session = OpenBare();
  for (const char* how : {"miss", "hit"}) {
    Told told = Ask(session.handle(), Request("x"), {.method = kRemote});
    EXPECT_EQ(told.Metadata("memo-cache"), how);
    told.metadata.erase("memo-cache");
    told.metadata.erase("memo-age");
    EXPECT_EQ(told.metadata, (Entries{{"x-date", "today"},
                                      {"x-date", "at noon"},
                                      {"x-cost-bin", std::string("\0\x7", 2)}}));
    EXPECT_EQ(told.trailers, Entries());
  }
}

TEST_F(UpstreamMemoTest, ListedMetadataIsPartOfTheKeyAndReachesTheUpstreamOthersDoNot) {
  ServeBefore({Remote([](MethodConfig& m) {
    m.key_metadata = {"x-tenant"};
    m.forward = {"traceparent"};
  })});
  const SessionHandle session = OpenBare();
  const auto get = [&](const Entries& metadata) {
    return Get(session, "x", CallOptions{.method = kRemote, .metadata = metadata});
  };
  EXPECT_EQ(get({{"x-tenant", "a"}, {"x-other", "1"}, {"traceparent", "t"}}), "miss x");
  EXPECT_EQ(Seen(), (Entries{{"x-tenant", "a"}, {"traceparent", "t"}}));
  EXPECT_EQ(get({{"x-tenant", "a"}, {"traceparent", "u"}}), "hit x");
  EXPECT_EQ(get({{"x-tenant", "b"}}), "miss x");
  EXPECT_EQ(get({}), "miss x");
  EXPECT_EQ(Seen(), Entries());
  EXPECT_EQ(get({{"x-tenant", ""}}), "miss x");
  EXPECT_EQ(get({{"x-tenant", "a"}, {"x-tenant", "b"}}), "miss x");
  EXPECT_EQ(get({{"x-tenant", "b"}, {"x-tenant", "a"}}), "miss x");
}

TEST_F(UpstreamMemoTest, WhatASessionWasOpenedWithReachesTheUpstreamWithItsCalls) {
  ServeOptions options;
  options.config.session.metadata = {"authorization", "x-region"};
  ServeBefore(
      {Remote(), Remote([](MethodConfig& m) { m.key_metadata = {"authorization"}; }, kRemoteToo)},
      options);
  grpc::ClientContext holding;
  for (const auto& [name, value] : Entries{{"authorization", "session's"}, {"x-region", "eu"}}) {
    holding.AddMetadata(name, value);
  }
  holding.AddMetadata("x-other", "1");
  const auto stream = sessions->OpenSession(&holding, {});
  memo::v1::OpenSessionResponse event;
  ASSERT_TRUE(stream->Read(&event));
  const auto ask = [&](const char* method, const Entries& metadata) {
    EXPECT_TRUE(Ask(event.opened().handle(), Request("x"), {.method = method, .metadata = metadata})
                    .status.ok());
    return Seen();
  };
  EXPECT_EQ(ask(kRemote, {{"authorization", "caller's"}}),
            (Entries{{"authorization", "session's"}, {"x-region", "eu"}}));
  EXPECT_EQ(ask(kRemoteToo, {}), (Entries{{"authorization", "session's"}, {"x-region", "eu"}}));
  EXPECT_EQ(ask(kRemoteToo, {{"authorization", "caller's"}}),
            (Entries{{"authorization", "caller's"}, {"x-region", "eu"}}))
      << "what is the call's own goes first";
  holding.TryCancel();
}

}  // namespace
}  // namespace memod
