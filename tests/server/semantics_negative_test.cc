// Errors that a method's policy remembers: `negative`.
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "memod/tests/testing/server_test.h"

namespace memod {
namespace {

using absl::StatusCode;
using std::chrono::milliseconds;

class NegativeTest : public ServerTest {
 protected:
  void ServeRemembering(std::map<StatusCode, std::optional<Duration>> negative,
                        Config config = TestConfig()) {
    ServeOptions options{.config = std::move(config)};
    options.probe.compute.negative = std::move(negative);
    Serve(options);
  }
  void Fail(const std::string& key, const absl::Status& error) {
    lab.On(key, [error](Computing&) { return error; });
  }
};

TEST_F(NegativeTest, HitIsTheSameErrorAsTheMiss) {
  ServeRemembering({{StatusCode::kNotFound, std::nullopt}});
  const SessionHandle session = Open("a");
  absl::Status error = absl::NotFoundError("größer\nthan before");
  error.SetPayload("type.googleapis.com/google.protobuf.StringValue", absl::Cord("\x0a\x02hi"));
  error.SetPayload("type.googleapis.com/google.protobuf.BytesValue",
                   absl::Cord(absl::string_view("\x0a\x02\0\xff", 4)));
  Fail("x", error);
  const Told miss = Ask(session.handle(), Request("x"));
  const Told hit = Ask(session.handle(), Request("x"));
  EXPECT_EQ(miss.Words(), "NOT_FOUND: größer\nthan before");
  EXPECT_NE(miss.status.error_details(), "");
  EXPECT_EQ(hit.status.error_code(), miss.status.error_code());
  EXPECT_EQ(hit.status.error_message(), miss.status.error_message());
  EXPECT_EQ(hit.status.error_details(), miss.status.error_details());
  EXPECT_EQ(hit.trailers, miss.trailers);
  EXPECT_EQ(miss.Metadata("memo-cache"), "");
  EXPECT_EQ(hit.Metadata("memo-cache"), "hit");
  EXPECT_EQ(hit.Metadata("memo-age"), "0");
  EXPECT_EQ(lab.computed("x"), 1);
}

TEST_F(NegativeTest, IsCountedAsAnyEntryAndTheErrorOnce) {
  ServeRemembering({{StatusCode::kNotFound, std::nullopt}});
  SessionHandle session = Open("a");
  Fail("x", absl::NotFoundError("x"));
  for (int i = 0; i < 3; ++i) Get(session, "x");
  EXPECT_EQ(Info(session), "hits 2, misses 1, computations 1, errors 1, currsize 1");
  EXPECT_GT(CacheInfoOf(session, kCompute).compute_seconds_saved(), 0);
  EXPECT_EQ(Get(session, "x", {.control = "only-if-cached"}), "NOT_FOUND: x");
  EXPECT_EQ(session.ClearCache()->entries(), 1);
  EXPECT_EQ(Get(session, "x"), "NOT_FOUND: x");
  EXPECT_EQ(lab.computed("x"), 2);
}

TEST_F(NegativeTest, IsAnEntryOfTheBoundAndOfItsRecency) {
  ServeOptions options = MaxEntries(2);
  options.probe.compute.negative = {{StatusCode::kNotFound, std::nullopt}};
  Serve(options);
  const SessionHandle session = Open("a");
  Fail("x", absl::NotFoundError("x"));
  Get(session, "x");
  Get(session, "y");
  Get(session, "x");
  Get(session, "z");  // y goes
  Get(session, "x");
  EXPECT_EQ(lab.computed("x"), 1);
  EXPECT_EQ(Get(session, "y"), "miss a:y");
}

TEST_F(NegativeTest, EachCodeHasItsOwnTtl) {
  ServeRemembering(
      {{StatusCode::kNotFound, milliseconds(50)}, {StatusCode::kOutOfRange, std::nullopt}});
  const SessionHandle session = Open("a");
  Fail("brief", absl::NotFoundError(""));
  Fail("long", absl::OutOfRangeError(""));
  for (const char* key : {"brief", "long", "answer"}) Get(session, key);
  EXPECT_TRUE(Soon([&] { return Get(session, "brief"), lab.computed("brief"); }, 2));
  for (const char* key : {"long", "answer"}) Get(session, key);
  EXPECT_EQ(lab.computed("long"), 1);
  EXPECT_EQ(lab.computed("answer"), 1);
  EXPECT_EQ(CacheInfoOf(session, kCompute).expirations(), 1);
}

TEST_F(NegativeTest, CodesThatAreNotListedAreNeverRemembered) {
  ServeRemembering({{StatusCode::kNotFound, std::nullopt}});
  const SessionHandle session = Open("a");
  for (int code = 1; code <= 16; ++code) {
    const std::string key = absl::StrCat(code);
    Fail(key, absl::Status(static_cast<StatusCode>(code), "because"));
    for (int i = 0; i < 2; ++i) Ask(session.handle(), Request(key));
    EXPECT_EQ(lab.computed(key), code == static_cast<int>(StatusCode::kNotFound) ? 1 : 2) << key;
  }
  Fail("other", absl::NotFoundError("of a method with another policy"));
  for (int i = 0; i < 2; ++i) Get(session, "other", {.method = kOther});
  EXPECT_EQ(lab.computed("other"), 2);
}

TEST_F(NegativeTest, AllWhoWaitAreToldAndThenItIsRemembered) {
  ServeRemembering({{StatusCode::kNotFound, std::nullopt}});
  const SessionHandle session = Open("a");
  lab.On("x", [&](Computing&) -> absl::StatusOr<std::string> {
    lab.gate("x").Pass();
    return absl::NotFoundError("x");
  });
  const auto calls = StartMany(session, "x", 3);
  lab.gate("x").Open();
  for (Call* call : calls) EXPECT_EQ(call->Words(), "NOT_FOUND: x");
  EXPECT_EQ(Ask(session.handle(), Request("x")).Metadata("memo-cache"), "hit");
}

// memod's own, though their codes are listed

TEST_F(NegativeTest, FullQueueIsNeverRemembered) {
  Config config = TestConfig();
  config.compute.threads = 1;
  config.compute.queue = 1;
  ServeRemembering({{StatusCode::kResourceExhausted, std::nullopt}}, config);
  const SessionHandle session = Open("a");
  lab.On("busy", [&](Computing&) {
    lab.gate("busy").Pass();
    return "done";
  });
  Start(session, "busy");
  ASSERT_TRUE(lab.gate("busy").AwaitArrived());
  Call& queued = *StartMany(session, "queued", 1)[0];
  EXPECT_TRUE(AliveSoon("sessions 1, instances 1, flights 2"));
  EXPECT_EQ(Get(session, "x"), "RESOURCE_EXHAUSTED LIMIT");
  lab.gate("busy").Open();
  queued.Wait();
  EXPECT_EQ(Get(session, "x"), "miss a:x");
}

TEST_F(NegativeTest, RecursionAndDepthAreNeverRemembered) {
  Config config = TestConfig();
  config.compute.max_depth = 2;
  ServeRemembering({{StatusCode::kResourceExhausted, std::nullopt},
                    {StatusCode::kFailedPrecondition, std::nullopt}},
                   config);
  const SessionHandle session = Open("a");
  lab.On("itself", [](Computing& c) { return c.Compute("itself"); });
  lab.On("1", [](Computing& c) { return c.Compute("2"); });
  lab.On("2", [](Computing& c) { return c.Compute("3"); });
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Get(session, "itself"), "FAILED_PRECONDITION RECURSION");
    EXPECT_EQ(Get(session, "1"), "RESOURCE_EXHAUSTED LIMIT");
  }
  EXPECT_EQ(Get(session, "2"), "miss a:3") << "which is not too deep";
  EXPECT_EQ(lab.computed("itself"), 2);
  EXPECT_EQ(lab.computed("1"), 2);
}

TEST_F(NegativeTest, UndecodableRequestAndOnlyIfCachedAreNeverRemembered) {
  ServeRemembering({{StatusCode::kInvalidArgument, std::nullopt},
                    {StatusCode::kFailedPrecondition, std::nullopt}});
  const SessionHandle session = Open("a");
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Ask(session.handle(), "\xff").Words(), "INVALID_ARGUMENT BAD_REQUEST");
    EXPECT_EQ(Get(session, "x", {.control = "only-if-cached"}), "FAILED_PRECONDITION NOT_CACHED");
  }
  EXPECT_EQ(CacheInfoOf(session, kCompute).currsize(), 0);
  EXPECT_EQ(Get(session, "x"), "miss a:x");
}

TEST_F(NegativeTest, ComputeTimeoutIsNeverRemembered) {
  ServeOptions options;
  options.probe.compute.compute_timeout = milliseconds(20);
  options.probe.compute.negative = {{StatusCode::kAborted, std::nullopt}};
  Serve(options);
  const SessionHandle session = Open("a");
  lab.On("x", [](Computing& c) -> absl::StatusOr<std::string> {
    if (c.nth > 1) return "in time";
    EXPECT_TRUE(c.AwaitCancelled());
    return absl::AbortedError("too late to be remembered");
  });
  EXPECT_EQ(Get(session, "x"), "DEADLINE_EXCEEDED COMPUTE_TIMEOUT");
  EXPECT_EQ(Get(session, "x"), "miss in time");
}

// Replacing

TEST_F(NegativeTest, RefreshReplacesAnErrorByAnAnswerAndTheOtherWayRound) {
  ServeRemembering({{StatusCode::kNotFound, std::nullopt}});
  const SessionHandle session = Open("a");
  lab.On("x", [](Computing& c) -> absl::StatusOr<std::string> {
    if (c.nth == 4) return absl::DataLossError("not listed");
    if (c.nth % 2 == 1) return absl::NotFoundError(absl::StrCat("v", c.nth));
    return absl::StrCat("v", c.nth);
  });
  const CallOptions refresh{.control = "refresh"};
  Get(session, "x");
  EXPECT_EQ(Get(session, "x"), "NOT_FOUND: v1");
  EXPECT_EQ(Get(session, "x", refresh), "miss v2");
  EXPECT_EQ(Get(session, "x"), "hit v2");
  EXPECT_EQ(Get(session, "x", refresh), "NOT_FOUND: v3");
  EXPECT_EQ(Get(session, "x"), "NOT_FOUND: v3");
  EXPECT_EQ(Get(session, "x", refresh), "DATA_LOSS: not listed");
  EXPECT_EQ(Get(session, "x"), "NOT_FOUND: v3") << "an error that is not listed replaces nothing";
  EXPECT_EQ(lab.computed("x"), 4);
  EXPECT_EQ(CacheInfoOf(session, kCompute).currsize(), 1);
}

TEST_F(NegativeTest, NoStoreAndBypassRememberNoError) {
  ServeRemembering({{StatusCode::kNotFound, std::nullopt}});
  const SessionHandle session = Open("a");
  Fail("x", absl::NotFoundError("x"));
  for (const char* control : {"no-store", "bypass"}) {
    EXPECT_EQ(Get(session, "x", {.control = control}), "NOT_FOUND: x");
  }
  EXPECT_EQ(CacheInfoOf(session, kCompute).currsize(), 0);
}

TEST_F(NegativeTest, NestedCallsAreToldTheRememberedError) {
  ServeRemembering({{StatusCode::kNotFound, std::nullopt}});
  const SessionHandle session = Open("a");
  Fail("inner", absl::NotFoundError("inner"));
  lab.On("outer", [](Computing& c) -> absl::StatusOr<std::string> {
    return std::string(c.Compute("inner").status().message());
  });
  Get(session, "inner");
  EXPECT_EQ(Get(session, "outer"), "miss inner");
  EXPECT_EQ(lab.computed("inner"), 1);
}

TEST_F(NegativeTest, IsChargedAndBoundedAsAnAnswer) {
  ServeOptions options;
  options.probe.compute.negative = {{StatusCode::kNotFound, std::nullopt}};
  options.probe.compute.max_entry_bytes = 1000;
  Serve(options);
  SessionHandle session = Open("a");
  Fail("small", absl::NotFoundError("small"));
  Fail("large", absl::NotFoundError(std::string(5 + 512, 'x')));
  Fail("too large", absl::NotFoundError(std::string(1000, 'x')));
  Get(session, "small");
  const int64_t small = CacheInfoOf(session, kCompute).bytes();
  Get(session, "large");
  EXPECT_EQ(CacheInfoOf(session, kCompute).bytes(), 2 * small + 512);
  for (int i = 0; i < 2; ++i) Get(session, "too large");
  EXPECT_EQ(lab.computed("too large"), 2);
  EXPECT_EQ(CacheInfoOf(session, kCompute).too_large(), 2);
  EXPECT_EQ(session.Close()->bytes(), 2 * small + 512);
}

}  // namespace
}  // namespace memod
