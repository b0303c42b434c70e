// How much passes through: sizes and numbers of messages, metadata, and what is held back.
#include <gtest/gtest.h>

#include <atomic>
#include <semaphore>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memod/tests/testing/scale.h"
#include "memod/tests/testing/upstream_test.h"

namespace memod {
namespace {

using std::chrono::milliseconds;

constexpr int64_t kMiB = 1 << 20;

// Of bytes that are not all the same, and not the same twice.
std::string Bytes(size_t size, size_t seed = 0) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>((i + seed) * 2654435761u >> 13);
  return bytes;
}

class ProxyLimitsTest : public UpstreamTest {
 protected:
  static ServeOptions MaxRequest(int64_t bytes) {
    ServeOptions options;
    options.config.server.max_request_bytes = bytes;
    return options;
  }
  // A memod that takes messages of so many bytes from the upstream.
  void ServeMaxResponse(int64_t bytes, std::vector<MethodConfig> methods = {}) {
    ServeOptions options = MaxRequest(64 * kMiB);
    UpstreamConfig& config = options.config.upstreams.emplace_back();
    config.name = "limited";
    config.where = "memod.toml:1";
    config.target = upstream.target();
    config.max_response_bytes = bytes;
    config.methods = std::move(methods);
    Serve(options);
  }
};

TEST_F(ProxyLimitsTest, MessagesOfEverySize) {
  ServeBefore({}, MaxRequest(64 * kMiB));
  for (const int64_t size : {int64_t{0}, int64_t{1}, int64_t{5}, int64_t{16383}, int64_t{16384},
                             int64_t{65535}, kMiB + 1, 4 * kMiB, 16 * kMiB, 64 * kMiB}) {
    const std::string sent = Bytes(static_cast<size_t>(size));
    for (const char* method : {kEcho, kKnown}) {
      for (const auto& channel : {through(), direct()}) {
        StreamCall call(channel, method);
        ASSERT_TRUE(call.Write(sent));
        call.HalfClose();
        const auto got = call.Read();
        EXPECT_TRUE(got == sent) << size;
        EXPECT_TRUE(call.Finish().status.ok());
      }
    }
  }
}

TEST_F(ProxyLimitsTest, MessagesOfEverySizeThroughAMemoizedMethod) {
  ServeBefore({Public([](MethodConfig& method) { method.max_entry_bytes = 128 * kMiB; }, kEcho)},
              MaxRequest(64 * kMiB));
  for (const int64_t size : {int64_t{0}, int64_t{1}, int64_t{65536}, 4 * kMiB, 64 * kMiB}) {
    const std::string sent = Bytes(static_cast<size_t>(size));
    for (const char* how : {"miss", "hit"}) {
      StreamCall call(through(), kEcho);
      ASSERT_TRUE(call.Write(sent));
      call.HalfClose();
      EXPECT_TRUE(call.Read() == sent) << size;
      const Told told = call.Finish();
      EXPECT_TRUE(told.status.ok()) << told.status.error_message();
      EXPECT_EQ(told.Metadata("memo-cache"), how) << size;
    }
  }
  EXPECT_EQ(upstream.calls(), 5);
}

TEST_F(ProxyLimitsTest, CallsInFlightToAnUpstreamAreBounded) {
  constexpr char kPassed[] = "/upstream.v1.Plain/Passed";
  ServeOptions options;
  UpstreamConfig& config = options.config.upstreams.emplace_back();
  config.name = "narrow";
  config.where = "memod.toml:1";
  config.target = upstream.target();
  config.max_calls = 2;
  config.methods = {Public(), Remote(nullptr, kPassed)};
  Serve(options);
  std::counting_semaphore<2> come(0);
  upstream.On(kEcho, [&](UpstreamCall& call) {
    come.release();
    Echo(call);
  });
  StreamCall first(through(), kEcho), second(through(), kEcho);
  for (int i = 0; i < 2; ++i) come.acquire();
  for (const char* method : {kEcho, kPassed, kRemote}) {
    const Told told = Ask(std::nullopt, Request("x"), {.method = method});
    EXPECT_EQ(told.Words(), "RESOURCE_EXHAUSTED LIMIT") << method;
    EXPECT_EQ(told.status.error_message(),
              "upstream narrow has 2 calls in flight, which is the limit (upstream.max_calls)");
  }
  EXPECT_EQ(upstream.calls(), 2);
  first.HalfClose();
  EXPECT_TRUE(first.Finish().status.ok());
  EXPECT_TRUE(Ask(std::nullopt, Request("x"), {.method = kPassed}).status.ok());
  second.HalfClose();
  EXPECT_TRUE(second.Finish().status.ok());
  EXPECT_TRUE(AliveSoon("nothing"));
}

TEST_F(ProxyLimitsTest, CallsThatPassAreCallsInFlight) {
  ServeOptions options;
  options.config.server.max_calls = 2;
  ServeBefore({Public()}, options);
  std::counting_semaphore<2> come(0);
  upstream.On(kEcho, [&](UpstreamCall& call) {
    come.release();
    Echo(call);
  });
  StreamCall first(through(), kEcho), second(through(), kEcho);
  for (int i = 0; i < 2; ++i) come.acquire();
  for (const char* method : {kEcho, kKnown, kRemote}) {
    const Told told = Ask(std::nullopt, Request("x"), {.method = method});
    EXPECT_EQ(told.Words(), "RESOURCE_EXHAUSTED LIMIT") << method;
    EXPECT_EQ(told.status.error_message(),
              "too many calls: 2 are in flight, limit 2 (server.max_calls)");
  }
  EXPECT_EQ(upstream.calls(), 2);
  first.HalfClose();
  EXPECT_TRUE(first.Finish().status.ok());
  EXPECT_EQ(AskRemote("x").Words(), "miss x");
  second.Cancel();
  EXPECT_FALSE(second.Finish().status.ok());
  EXPECT_TRUE(AliveSoon("entries 1"));
}

// Who sends nothing takes nobody's place.
TEST_F(ProxyLimitsTest, UnaryCallThatPassesIsInFlightOnceItsMessageIsThere) {
  ServeOptions options;
  options.config.server.max_calls = 1;
  ServeBefore({}, options);
  StreamCall silent(through(), kKnown);
  EXPECT_TRUE(Soon([this] { return Gauges().reactors(); }, 1));
  ASSERT_EQ(Gauges().calls(), 0);
  std::binary_semaphore come(0);
  upstream.On(kEcho, [&](UpstreamCall& call) {
    come.release();
    Echo(call);
  });
  StreamCall other(through(), kEcho);
  come.acquire();
  ASSERT_TRUE(silent.Write(Request("x")));
  EXPECT_EQ(silent.Finish().Words(), "RESOURCE_EXHAUSTED LIMIT");
  other.HalfClose();
  EXPECT_TRUE(other.Finish().status.ok());
  EXPECT_TRUE(Ask(std::nullopt, Request("x"), {.method = kKnown}).status.ok());
  EXPECT_TRUE(AliveSoon("nothing"));
}

TEST_F(ProxyLimitsTest, MetadataOfACallThatPasses) {
  ServeOptions options;
  options.config.server.max_metadata_bytes = 2000;
  ServeBefore({}, options);
  upstream.On(kEcho, Echo);
  const CallOptions too_much{.method = kEcho, .metadata = {{"x-fill", std::string(2000, 'x')}}};
  EXPECT_EQ(Ask(std::nullopt, Request("x"), too_much).Words(), "RESOURCE_EXHAUSTED LIMIT");
  const CallOptions fits{.method = kEcho, .metadata = {{"x-fill", std::string(1500, 'x')}}};
  EXPECT_TRUE(Ask(std::nullopt, Request("x"), fits).status.ok());
  EXPECT_EQ(upstream.calls(), 1);
}

TEST_F(ProxyLimitsTest, StreamsOfOneToTenThousandMessages) {
  ServeBefore();
  for (const int count : {1, 2, 100, Scaled(10'000)}) {
    StreamCall call(through(), kEcho);
    for (int i = 0; i < count; ++i) {
      ASSERT_TRUE(call.Write(Bytes(static_cast<size_t>(i % 97), static_cast<size_t>(i))));
      ASSERT_EQ(call.Read(), Bytes(static_cast<size_t>(i % 97), static_cast<size_t>(i)));
    }
    call.HalfClose();
    EXPECT_EQ(call.Read(), std::nullopt);
    EXPECT_TRUE(call.Finish().status.ok());
  }
}

TEST_F(ProxyLimitsTest, TenThousandMessagesOneWayAndTheOther) {
  ServeBefore();
  const int count = Scaled(10'000);
  upstream.On("/a.B/Join", Join);
  std::string all;
  StreamCall up(through(), "/a.B/Join");
  for (int i = 0; i < count; ++i) {
    ASSERT_TRUE(up.Write(absl::StrCat(i, ",")));
    absl::StrAppend(&all, i, ",");
  }
  up.HalfClose();
  EXPECT_EQ(up.Read(), all);
  std::vector<std::string> each;
  for (int i = 0; i < count; ++i) each.push_back(absl::StrCat(i));
  upstream.On("/a.B/Expand", EndWith(grpc::Status::OK, {}, each));
  StreamCall down(through(), "/a.B/Expand");
  down.HalfClose();
  EXPECT_EQ(down.ReadAll(), each);
}

TEST_F(ProxyLimitsTest, MessageFromTheUpstreamOverTheLimitIsAnError) {
  ServeMaxResponse(1000, {Public()});
  for (const char* method : {kEcho, kRemote}) {
    for (const int size : {1000, 1001}) {
      upstream.On(method, EndWith(grpc::Status::OK, {}, {Bytes(static_cast<size_t>(size))}));
      const Told told = Ask(std::nullopt, absl::StrCat(size), {.method = method});
      EXPECT_EQ(told.status.error_code(),
                size == 1000 ? grpc::StatusCode::OK : grpc::StatusCode::RESOURCE_EXHAUSTED)
          << told.status.error_message();
    }
  }
  EXPECT_EQ(Total(kRemote), "misses 2, computations 2, errors 1, currsize 1");
}

TEST_F(ProxyLimitsTest, RequestOverTheLimitIsAnErrorAndTheUpstreamsCallIsCancelled) {
  ServeOptions options = MaxRequest(1000);
  options.config.session.max_state_bytes = 1000;
  ServeBefore({Public()}, options);
  upstream.On(kEcho, NeverAnswer);
  for (const char* method : {kEcho, kKnown, kRemote}) {
    EXPECT_EQ(Ask(std::nullopt, Bytes(kMiB), {.method = method}).status.error_code(),
              grpc::StatusCode::RESOURCE_EXHAUSTED);
  }
  EXPECT_TRUE(InProgressSoon(0));
  for (const char* method : {kKnown, kRemote}) EXPECT_EQ(upstream.calls(method), 0);
}

// gRPC's limit on metadata is 8 KiB together.

TEST_F(ProxyLimitsTest, MetadataUpToTheLimit) {
  ServeBefore();
  for (const size_t size : {100u, 4000u, 7500u}) {
    const Entries metadata = {{"x-large", std::string(size, 'x')}};
    upstream.On("/a.B/C", [=](UpstreamCall& call) {
      call.SendMetadata(metadata);
      call.Write(*call.Read());
      call.Finish(grpc::Status::OK, metadata);
    });
    for (const auto& channel : {through(), direct()}) {
      StreamCall call(channel, "/a.B/C", {.metadata = metadata});
      call.Write("x");
      EXPECT_EQ(call.Read(), "x");
      const Told told = call.Finish();
      EXPECT_EQ(told.metadata, metadata);
      EXPECT_EQ(told.trailers, metadata);
      EXPECT_EQ(upstream.seen("/a.B/C").back().metadata.count("x-large"), 1u);
    }
  }
}

// A connection that gets more than it takes ends with all that is on it: that must not be memod's to
// the upstream, which is everybody's.
TEST_F(ProxyLimitsTest, MetadataOverTheLimitEndsNoCallOfOthers) {
  ServeBefore();
  const Entries large = {{"x-large", std::string(20'000, 'x')}};
  upstream.On("/a.B/Trailers", EndWith(grpc::Status::OK, large, {"x"}));
  upstream.On("/a.B/Metadata", [=](UpstreamCall& call) {
    call.SendMetadata(large);
    call.Answer("x");
  });
  StreamCall beside(through(), kEcho);
  ASSERT_TRUE(beside.Write("x"));
  EXPECT_EQ(beside.Read(), "x");
  for (const CallOptions& options :
       {CallOptions{.method = "/a.B/Trailers"}, CallOptions{.method = "/a.B/Metadata"},
        CallOptions{.method = kEcho, .metadata = large}}) {
    EXPECT_EQ(Ask(std::nullopt, "x", options).status.error_code(),
              grpc::StatusCode::RESOURCE_EXHAUSTED);
  }
  ASSERT_TRUE(beside.Write("y"));
  EXPECT_EQ(beside.Read(), "y");
  beside.HalfClose();
  EXPECT_TRUE(beside.Finish().status.ok());
}

// Flow control. What is under way fills the windows of two connections, and a message each.

constexpr int64_t kHeldBack = 32 * kMiB;
constexpr int64_t kOffered = 4 * kHeldBack;
constexpr size_t kChunk = 1 << 16;

TEST_F(ProxyLimitsTest, UpstreamThatReadsSlowlyHoldsTheCallerBack) {
  ServeBefore();
  Gate gate;
  int64_t read = 0;
  upstream.On(kEcho, [&](UpstreamCall& call) {
    gate.Pass();
    for (; const auto chunk = call.Read(); ++read) EXPECT_TRUE(*chunk == Bytes(kChunk, read));
    call.Finish(grpc::Status::OK);
  });
  StreamCall call(through(), kEcho);
  int64_t taken = 0;
  while (call.TryWrite(Bytes(kChunk, taken), milliseconds(500))) {
    ++taken;
    ASSERT_LT(taken * kChunk, kHeldBack) << "nobody holds it back";
  }
  gate.Open();
  for (++taken; taken < kOffered / static_cast<int64_t>(kChunk); ++taken) {
    ASSERT_TRUE(call.Write(Bytes(kChunk, taken)));
  }
  call.HalfClose();
  EXPECT_TRUE(call.Finish().status.ok());
  EXPECT_EQ(read, taken);
}

TEST_F(ProxyLimitsTest, CallerThatReadsSlowlyHoldsTheUpstreamBack) {
  ServeBefore();
  std::counting_semaphore<> one_more(0);
  std::atomic<int64_t> written{0};
  upstream.On(kEcho, [&](UpstreamCall& call) {
    while (written * static_cast<int64_t>(kChunk) < kOffered &&
           call.Write(Bytes(kChunk, written))) {
      ++written;
      one_more.release();
    }
    call.Finish(grpc::Status::OK);
  });
  StreamCall call(through(), kEcho);
  EXPECT_TRUE(call.Read().has_value());
  while (one_more.try_acquire_for(milliseconds(500))) {
    ASSERT_LT(written * static_cast<int64_t>(kChunk), kHeldBack) << "nobody holds it back";
  }
  int64_t read = 1;
  for (; const auto chunk = call.Read(); ++read) ASSERT_TRUE(*chunk == Bytes(kChunk, read));
  EXPECT_TRUE(call.Finish().status.ok());
  EXPECT_EQ(read, written);
}

}  // namespace
}  // namespace memod
