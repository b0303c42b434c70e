// Short of memory memod first gives back entries, then takes no new sessions, then no new entries,
// then no calls; and goes back all that way by itself.
#include "memod/server/memory_pressure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memod/cache/memo_error.h"
#include "memod/tests/server/pipeline_fixture.h"

namespace memod {
namespace {

using testing::ElementsAre;
using Step = MemoryPressure::Step;

constexpr char kRefused[] = "RESOURCE_EXHAUSTED LIMIT";

// --- the steps, by a memory of 1000 bytes ---

class StepsTest : public testing::Test {
 protected:
  std::string Look(std::optional<int64_t> used) {
    used_ = used;
    pressure_.Look(Clock::now());
    EXPECT_EQ(context_.storing, pressure_.step() < Step::kNoEntries);
    return MemoryPressure::Name(pressure_.step());
  }

  CacheContext context_{std::nullopt};
  std::optional<int64_t> used_;
  MemoryPressure pressure_{MemorySource{1000, "the test's", [this] { return used_; }}, context_};
};

TEST_F(StepsTest, BeginAtTheirPartOfTheLimit) {
  const std::vector<std::pair<int64_t, std::string>> steps = {{0, "none"},
                                                              {799, "none"},
                                                              {800, "evicting"},
                                                              {849, "evicting"},
                                                              {850, "no new sessions"},
                                                              {919, "no new sessions"},
                                                              {920, "no new entries"},
                                                              {969, "no new entries"},
                                                              {970, "no calls"},
                                                              {5000, "no calls"}};
  for (const auto& [used, step] : steps) EXPECT_EQ(Look(used), step) << used;
}

TEST_F(StepsTest, EndFivePercentBelow) {
  EXPECT_EQ(Look(1000), "no calls");
  const std::vector<std::pair<int64_t, std::string>> steps = {
      {920, "no calls"},        {919, "no new entries"},
      {870, "no new entries"},  {869, "no new sessions"},
      {800, "no new sessions"}, {799, "evicting"},
      {750, "evicting"},        {749, "none"}};
  for (const auto& [used, step] : steps) EXPECT_EQ(Look(used), step) << used;
}

TEST_F(StepsTest, ManyAtOnce) {
  EXPECT_EQ(Look(970), "no calls");
  EXPECT_EQ(Look(0), "none");
  EXPECT_EQ(Look(920), "no new entries");
  EXPECT_EQ(Look(830), "no new sessions");
  EXPECT_EQ(Look(990), "no calls");
}

TEST_F(StepsTest, StayWhileNothingCanBeTold) {
  EXPECT_EQ(Look(900), "no new sessions");
  EXPECT_EQ(Look(std::nullopt), "no new sessions");
  EXPECT_EQ(pressure_.used(), 900);
  EXPECT_EQ(Look(0), "none");
}

TEST_F(StepsTest, RefusalsNameValueAndLimit) {
  Look(930);
  EXPECT_TRUE(pressure_.Check(Step::kNoCalls).ok());
  const absl::Status sessions = pressure_.Check(Step::kNoSessions);
  EXPECT_EQ(sessions,
            MemoError(absl::StatusCode::kResourceExhausted, memo_error::kLimit,
                      "no new sessions: 930 bytes of memory are in use, limit 850, 85 % of "
                      "1000 (the test's)"));
  Look(990);
  EXPECT_EQ(pressure_.Check(Step::kNoCalls).message(),
            "no calls: 990 bytes of memory are in use, limit 970, 97 % of 1000 (the test's)");
  Look(930);
  EXPECT_EQ(
      pressure_.Check(Step::kNoCalls).message(),
      "no calls, still: 930 bytes of memory are in use, limit 920, 92 % of 1000 (the test's)");
}

TEST(NoPressureTest, WithoutALimit) {
  CacheContext context(std::nullopt);
  MemoryPressure pressure(std::nullopt, context);
  const MemoryWatch watch(pressure);
  pressure.Look(Clock::now());
  EXPECT_EQ(pressure.step(), Step::kNone);
  EXPECT_EQ(pressure.limit(), std::nullopt);
}

// --- a server, by a memory that the test makes up ---

class MemoryPressureTest : public PipelineFixture {
 protected:
  static constexpr int64_t kLimit = 1'000'000;

  // Entries are guaranteed to sessions, unless `guaranteed` is 0: they are not given back.
  void ServeWithLimit(int64_t guaranteed = kLimit) {
    ServeOptions options = MaxEntries(std::nullopt);
    options.config.server.max_memory = kLimit;
    options.config.session.guaranteed_bytes = guaranteed;
    options.used_memory = [this] {
      return used + (entries_count ? AdminInfo().gauges().bytes() : 0);
    };
    Serve(options);
  }
  void TearDown() override {
    used = 0;
    entries_count = false;
    PipelineFixture::TearDown();
  }
  std::string Pressure() {
    return memo::v1::MemoryPressure_Name(AdminInfo().memory().pressure()).substr(16);
  }
  // So much is in use, and memod has seen it.
  void Use(int percent, const std::string& pressure) {
    used = kLimit / 100 * percent;
    EXPECT_TRUE(Soon([&] { return Pressure(); }, pressure));
    EXPECT_TRUE(Soon([&] { return AdminInfo().memory().used_bytes(); }, used.load()));
  }
  std::string OpenRefused() {
    const absl::Status refused = client->OpenSession(State("new")).status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
    return std::string(refused.message());
  }
  std::string Leased() {
    memo::v1::LeaseSessionRequest request;
    request.mutable_ttl()->set_seconds(1);
    memo::v1::LeaseSessionResponse response;
    grpc::ClientContext context;
    return sessions->LeaseSession(&context, request, &response).error_message();
  }

  std::atomic<int64_t> used{0};
  std::atomic<bool> entries_count{false};  // what they take is in use, too
};

TEST_F(MemoryPressureTest, FirstNoNewSessions) {
  ServeWithLimit();
  Use(84, "EVICTING");
  SessionHandle session = Open("a");
  Use(85, "NO_NEW_SESSIONS");
  const std::string refusal =
      "no new sessions: 850000 bytes of memory are in use, limit 850000, 85 % of 1000000 "
      "(server.max_memory)";
  EXPECT_EQ(OpenRefused(), refusal);
  EXPECT_EQ(Leased(), refusal);
  // Those that are open go on as ever.
  EXPECT_EQ(Get(session, "k"), "miss a:k");
  EXPECT_EQ(Get(session, "k"), "hit a:k");
  EXPECT_TRUE(session.UpdateState(State("b")).ok());
  EXPECT_EQ(Get(session, "k"), "miss b:k");
  Use(79, "EVICTING");
  EXPECT_EQ(Get(Open("c"), "k"), "miss c:k");
}

// As where other processes share the limit.
TEST_F(MemoryPressureTest, EntriesThatWouldNotHelpStay) {
  ServeWithLimit(/*guaranteed=*/0);
  const SessionHandle session = Open("a");
  EXPECT_EQ(Get(session, "k"), "miss a:k");
  for (int percent = 80; percent < 85; ++percent) Use(percent, "EVICTING");
  EXPECT_EQ(Get(session, "k"), "hit a:k");
}

TEST_F(MemoryPressureTest, ThenNoNewEntries) {
  ServeWithLimit();
  const SessionHandle session = Open("a");
  EXPECT_EQ(Get(session, "known"), "miss a:known");
  EXPECT_EQ(Get(session, "old"), "miss a:old");
  Use(92, "NO_NEW_ENTRIES");
  EXPECT_NE(OpenRefused(), "");
  EXPECT_EQ(Get(session, "known"), "hit a:known");
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Get(session, "new"), "miss a:new");
  EXPECT_EQ(Pipeline(session).Get("new"), "miss a:new");
  // An answer is never older than one that was given: it goes, if its successor cannot stay.
  EXPECT_EQ(Get(session, "old", {.control = "refresh"}), "miss a:old");
  EXPECT_EQ(Get(session, "old", {.control = "only-if-cached"}), "FAILED_PRECONDITION NOT_CACHED");
  EXPECT_EQ(CacheInfoOf(session, kCompute).currsize(), 1);
  EXPECT_EQ(CacheInfoOf(session, kCompute).too_large(), 0);
  Use(0, "NONE");
  EXPECT_EQ(Get(session, "new"), "miss a:new");
  EXPECT_EQ(Get(session, "new"), "hit a:new");
}

TEST_F(MemoryPressureTest, ThenNoCalls) {
  ServeWithLimit();
  std::optional<SessionHandle> session = Open("a"), other = Open("b");
  RawPipeline pipeline = Pipeline(*session);
  EXPECT_EQ(Get(*session, "known"), "miss a:known");
  Gated("busy");
  Call& busy = Start(*session, "busy");
  ASSERT_TRUE(lab.gate("busy").AwaitArrived());
  Use(97, "NO_CALLS");
  const Told told = Ask(session->handle(), Request("known"));
  EXPECT_EQ(told.Words(), kRefused) << "also where it would be a hit";
  EXPECT_EQ(told.status.error_message(),
            "no calls: 970000 bytes of memory are in use, limit 970000, 97 % of 1000000 "
            "(server.max_memory)");
  EXPECT_EQ(Ask(std::nullopt, Request("x"), {.method = kShared}).Words(), kRefused);
  EXPECT_EQ(pipeline.Get("known"), kRefused);
  EXPECT_EQ(Pipeline(*session).End(), kRefused) << "no stream for calls that would be refused";
  EXPECT_EQ(session->UpdateState(State("b")).status().code(), absl::StatusCode::kResourceExhausted);
  // What was begun is answered; whatever gives memory back works.
  lab.gate("busy").Open();
  EXPECT_EQ(busy.Words(), "miss a:busy");
  EXPECT_EQ(CacheInfoOf(*session, kCompute).currsize(), 1);
  EXPECT_TRUE(session->ClearCache().ok());
  EXPECT_TRUE(other->Close().ok());
  Use(90, "NO_NEW_ENTRIES");
  EXPECT_EQ(pipeline.Get("known"), "miss a:known") << "the stream has not ended";
  Use(0, "NONE");
  EXPECT_EQ(Get(*session, "known"), "miss a:known");
  EXPECT_EQ(Get(Open("c"), "known"), "miss c:known");
}

TEST_F(MemoryPressureTest, EntriesAreGivenBackBeforeAnythingIsRefused) {
  ServeWithLimit(/*guaranteed=*/0);
  const SessionHandle session = Open("a");
  const auto key = [](int i) { return absl::StrCat(i) + std::string(500, '.'); };
  for (int i = 0; i < 210; ++i) Get(session, key(i));
  const int64_t bytes = AdminInfo().gauges().bytes();
  ASSERT_GT(bytes, 200'000);
  ASSERT_LT(bytes, 250'000) << "no sessions refused";
  used = 600'000;
  entries_count = true;
  EXPECT_TRUE(Soon([&] { return CacheInfoOf(session, kCompute).evictions() > 0; }, true));
  EXPECT_TRUE(Soon([&] { return Pressure(); }, "NONE"));
  EXPECT_LT(AdminInfo().gauges().bytes(), 150'000);
  EXPECT_GT(AdminInfo().gauges().bytes(), 100'000) << "no more than needed";
  EXPECT_EQ(Get(session, key(0), {.control = "only-if-cached"}), "FAILED_PRECONDITION NOT_CACHED")
      << "the least recently used";
  EXPECT_EQ(Get(session, key(209)).substr(0, 4), "hit ");
}

TEST_F(MemoryPressureTest, UnboundedCacheHasTheLimitOfTheMemory) {
  ServeOptions options = MaxEntries(std::nullopt);
  options.probe.compute.max_entry_bytes = 10 * kLimit;
  options.config.cache.max_bytes = std::nullopt;
  options.config.server.max_memory = kLimit;
  options.used_memory = [] { return 0; };
  Serve(options);
  const SessionHandle session = Open("a");
  lab.On("large", [](Computing&) { return std::string(kLimit, 'x'); });
  Get(session, "large");
  EXPECT_EQ(CacheInfoOf(session, kCompute).too_large(), 1);
}

TEST_F(MemoryPressureTest, WithoutALimitNothingIsTold) {
  Serve();
  EXPECT_FALSE(AdminInfo().has_memory());
}

}  // namespace
}  // namespace memod
