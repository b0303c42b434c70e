// State scope: sessions of a class that opts in, opened with equal state, are on one instance and
// share what is remembered for it. lru_cache on methods of a class with __eq__ and __hash__, and
// ring by __ring_key__.
#include <gtest/gtest.h>

#include <deque>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memod/tests/testing/opening.h"
#include "memod/tests/testing/scale.h"
#include "memod/tests/testing/server_test.h"

namespace memod {
namespace {

class StateScopeTest : public ServerTest {
 protected:
  void ServeSharing(Config config = TestConfig()) {
    ServeOptions options{.config = std::move(config)};
    options.probe.share_equal_states = true;
    Serve(options);
  }
  // Each computation of `key` waits at the gate of that name.
  void Block(const std::string& key) {
    lab.On(key, [this, key](Computing& c) {
      lab.gate(key).Pass();
      return absl::StrCat(c.self, " v", c.nth);
    });
  }
  // As the administrator sees it; 0: no such session.
  int64_t Sharing(const std::string& session_id) {
    memo::v1::ListSessionsResponse response;
    grpc::ClientContext context;
    EXPECT_TRUE(admin->ListSessions(&context, {}, &response).ok());
    for (const auto& session : response.sessions()) {
      if (session.session_id() == session_id) return session.sharing();
    }
    return 0;
  }
};

// Sharing

TEST_F(StateScopeTest, SecondSessionWithEqualStateHits) {
  ServeSharing();
  const SessionHandle first = Open("s");
  const SessionHandle second = Open("s");
  EXPECT_NE(first.handle(), second.handle());
  EXPECT_NE(first.id(), second.id());
  EXPECT_EQ(Get(first, "x"), "miss s:x");
  EXPECT_EQ(Get(second, "x"), "hit s:x");
  EXPECT_EQ(Get(second, "x", {.method = kOther}), "miss s:x");
  EXPECT_EQ(Get(first, "x", {.method = kOther}), "hit s:x");
  EXPECT_EQ(lab.openings("s"), 1);
  EXPECT_TRUE(AliveSoon("sessions 2, instances 1, entries 2"));
  EXPECT_EQ(CacheInfoOf(first, kCompute).policy().scope(), "state");
}

TEST_F(StateScopeTest, EqualCallsOfTwoSessionsShareOneComputation) {
  ServeSharing();
  const SessionHandle first = Open("s");
  const SessionHandle second = Open("s");
  Block("x");
  const auto of_first = StartMany(first, "x", 2);
  const auto of_second = StartMany(second, "x", 2);
  lab.gate("x").Open();
  EXPECT_EQ(of_first[0]->Wait().bytes, of_second[1]->Wait().bytes);
  EXPECT_EQ(of_second[0]->Words(), "coalesced s v1");
  EXPECT_EQ(lab.computed("x"), 1);
}

TEST_F(StateScopeTest, DifferentStatesNeverShare) {
  ServeSharing();
  const SessionHandle s = Open("s");
  const SessionHandle t = Open("t");
  EXPECT_EQ(Get(s, "x"), "miss s:x");
  EXPECT_EQ(Get(t, "x"), "miss t:x");
  EXPECT_EQ(Sharing(s.id()), 1);
}

TEST_F(StateScopeTest, StatesOfTwoClassesAreNeverEqualWhateverTheirBytes) {
  RegisterTwin(registry);
  ServeSharing();
  memo::testing::v1::TwinState state;
  state.set_id("s");
  ASSERT_EQ(state.SerializeAsString(), State("s").SerializeAsString());
  const SessionHandle probe = Open("s");
  const SessionHandle twin = client->OpenSession(state).value();
  const SessionHandle same = client->OpenSession(state).value();
  EXPECT_EQ(Alive(), "sessions 3, instances 2");
  EXPECT_EQ(Get(probe, "x"), "miss s:x");
  EXPECT_EQ(Get(twin, "x", {.method = kTwin}), "miss s:x");
  EXPECT_EQ(Get(same, "x", {.method = kTwin}), "hit s:x");
}

TEST_F(StateScopeTest, ClassThatDidNotOptInNeverShares) {
  RegisterTwin(registry);  // others do
  Serve();
  const SessionHandle first = Open("s");
  const SessionHandle second = Open("s");
  EXPECT_EQ(Get(first, "x"), "miss s:x");
  EXPECT_EQ(Get(second, "x"), "miss s:x");
  EXPECT_EQ(lab.openings("s"), 2);
  EXPECT_EQ(Sharing(first.id()), 1);
}

TEST_F(StateScopeTest, SessionsWithOtherSessionMetadataNeverShare) {
  Config config = TestConfig();
  config.session.metadata = {"authorization", "x-tenant"};
  ServeSharing(config);
  const std::vector<Metadata> different = {
      {},
      {{"authorization", ""}},
      {{"authorization", "a"}},
      {{"authorization", "b"}},
      {{"authorization", "a"}, {"authorization", "b"}},
      {{"authorization", "b"}, {"authorization", "a"}},
      {{"x-tenant", "a"}},
      {{"authorization", "a"}, {"x-tenant", "a"}},
  };
  std::deque<Opening> open;
  for (const Metadata& metadata : different) {
    Opening& opening = open.emplace_back(*sessions, State("s"), metadata);
    EXPECT_EQ(Ask(opening.handle(), Request("x")).Words(), "miss s:x");
  }
  EXPECT_EQ(lab.openings("s"), static_cast<int>(different.size()));
  Opening same(*sessions, State("s"),
               {{"x-tenant", "a"}, {"x-not-captured", "c"}, {"authorization", "a"}});
  EXPECT_EQ(Ask(same.handle(), Request("x")).Words(), "hit s:x");
}

// Lifetime

TEST_F(StateScopeTest, EntriesLiveAsLongAsAnyOfThemAndGoWithTheLast) {
  ServeSharing();
  SessionHandle first = Open("s");
  SessionHandle second = Open("s");
  std::optional<SessionHandle> third = Open("s");
  Get(first, "x");
  Get(second, "y");
  const int64_t bytes = AdminInfo().gauges().bytes();
  auto receipt = first.Close();
  EXPECT_EQ(receipt->entries(), 0);
  EXPECT_EQ(receipt->bytes(), 0);
  EXPECT_EQ(receipt->compute_seconds(), 0);
  third.reset();  // a client that goes
  EXPECT_TRUE(AliveSoon("sessions 1, instances 1, entries 2"));
  EXPECT_EQ(Get(second, "x"), "hit s:x") << "which a closed session computed";
  receipt = second.Close();
  EXPECT_EQ(receipt->entries(), 2);
  EXPECT_EQ(receipt->bytes(), bytes);
  EXPECT_GT(receipt->compute_seconds(), 0);
  EXPECT_TRUE(AliveSoon("nothing"));
  EXPECT_EQ(AdminInfo().gauges().bytes(), 0);
  EXPECT_TRUE(Soon([&] { return lab.instances(); }, 0));
}

TEST_F(StateScopeTest, NobodyHoldsAStateThatIsGone) {
  ServeSharing();
  {
    const SessionHandle gone = Open("s");
    Get(gone, "x");
  }
  EXPECT_TRUE(AliveSoon("nothing"));
  const SessionHandle anew = Open("s");
  EXPECT_EQ(Get(anew, "x"), "miss s:x");
  EXPECT_EQ(lab.openings("s"), 2);
}

TEST_F(StateScopeTest, ClosingOneAbortsItsOwnWaitersOnly) {
  ServeSharing();
  SessionHandle closes = Open("s");
  const SessionHandle stays = Open("s");
  Block("x");
  const auto aborted = StartMany(closes, "x", 2);  // one of them began the computation
  const auto answered = StartMany(stays, "x", 2);
  ASSERT_TRUE(closes.Close().ok());
  for (Call* call : aborted) EXPECT_EQ(call->Words(), "ABORTED SESSION_CLOSED");
  for (Call* call : answered) EXPECT_FALSE(call->done());
  lab.gate("x").Open();
  for (Call* call : answered) EXPECT_EQ(call->Words(), "coalesced s v1");
  EXPECT_EQ(Get(stays, "x"), "hit s v1");
}

TEST_F(StateScopeTest, ClosingTheLastCancels) {
  ServeSharing();
  SessionHandle first = Open("s");
  SessionHandle last = Open("s");
  lab.On("x", [&](Computing& c) -> absl::StatusOr<std::string> {
    EXPECT_FALSE(c.context->cancelled());
    lab.gate("x").Pass();
    EXPECT_TRUE(c.AwaitCancelled());
    return "late";
  });
  Call& of_first = Start(first, "x");
  ASSERT_TRUE(lab.gate("x").AwaitArrived());
  Call& of_last = *StartMany(last, "x", 1)[0];
  ASSERT_TRUE(first.Close().ok());
  EXPECT_EQ(of_first.Words(), "ABORTED SESSION_CLOSED");
  EXPECT_FALSE(of_last.done());
  lab.gate("x").Open();
  ASSERT_TRUE(last.Close().ok());
  EXPECT_EQ(of_last.Words(), "ABORTED SESSION_CLOSED");
  EXPECT_TRUE(AliveSoon("nothing"));
}

// Change of state

TEST_F(StateScopeTest, SessionThatUpdatesItsStateLeavesTheOthersTheirsAndJoinsTheEqualOnes) {
  ServeSharing();
  SessionHandle moves = Open("s");
  const SessionHandle stays = Open("s");
  const SessionHandle there = Open("t");
  Get(moves, "x");
  Get(there, "x");
  EXPECT_EQ(moves.UpdateState(State("t"))->entries(), 0);
  EXPECT_EQ(Get(stays, "x"), "hit s:x");
  EXPECT_EQ(Get(moves, "x"), "hit t:x");
  EXPECT_EQ(Sharing(stays.id()), 1);
  EXPECT_EQ(Sharing(moves.id()), 2);
  EXPECT_EQ(moves.UpdateState(State("s"))->entries(), 0);  // and back
  EXPECT_EQ(Get(moves, "x"), "hit s:x");
  EXPECT_EQ(Sharing(moves.id()), 2);
  EXPECT_EQ(lab.openings("s"), 1);
  EXPECT_EQ(lab.openings("t"), 1);
}

TEST_F(StateScopeTest, LastThatUpdatesItsStateReleasesTheFormerOne) {
  ServeSharing();
  SessionHandle session = Open("s");
  Get(session, "x");
  EXPECT_EQ(session.UpdateState(State("t"))->entries(), 1);
  EXPECT_TRUE(AliveSoon("sessions 1, instances 1"));
  EXPECT_EQ(session.UpdateState(State("s"))->entries(), 0);
  EXPECT_EQ(Get(session, "x"), "miss s:x");
  EXPECT_EQ(lab.openings("s"), 2);
}

TEST_F(StateScopeTest, UpdateToAnEqualStateChangesNothing) {
  ServeSharing();
  SessionHandle session = Open("s");
  Get(session, "x");
  EXPECT_EQ(session.UpdateState(State("s"))->entries(), 0);
  EXPECT_EQ(Get(session, "x"), "hit s:x");
  EXPECT_EQ(lab.openings("s"), 1);
  EXPECT_TRUE(AliveSoon("sessions 1, instances 1, entries 1"));
}

TEST_F(StateScopeTest, ClosingAlsoAbortsThoseWhoWaitForAFormerSharedState) {
  ServeSharing();
  SessionHandle moves = Open("s");
  const SessionHandle stays = Open("s");
  Block("x");
  Call& aborted = *StartMany(moves, "x", 1)[0];
  Call& answered = *StartMany(stays, "x", 1)[0];
  ASSERT_TRUE(moves.UpdateState(State("t")).ok());
  EXPECT_FALSE(aborted.done());
  ASSERT_TRUE(moves.Close().ok());
  EXPECT_EQ(aborted.Words(), "ABORTED SESSION_CLOSED");
  lab.gate("x").Open();
  EXPECT_EQ(answered.Words(), "coalesced s v1");
  EXPECT_EQ(Get(stays, "x"), "hit s v1") << "an update of another session is none of this state";
}

// Counting

TEST_F(StateScopeTest, CacheInfoIsTheSameForAllAndTotalsCountItOnce) {
  ServeSharing();
  SessionHandle first = Open("s");
  SessionHandle second = Open("s");
  const SessionHandle other = Open("t");
  Get(first, "x");
  Get(second, "x");
  Get(other, "x");
  const std::string info = "hits 1, misses 1, computations 1, currsize 1";
  EXPECT_EQ(Info(first), info);
  EXPECT_EQ(CacheInfoOf(first, kCompute).SerializeAsString(),
            CacheInfoOf(second, kCompute).SerializeAsString());
  EXPECT_EQ(AdminInfo(second.id(), kCompute).total().SerializeAsString(),
            CacheInfoOf(first, kCompute).SerializeAsString());
  EXPECT_EQ(Sharing(first.id()), 2);
  EXPECT_EQ(Sharing(other.id()), 1);
  EXPECT_EQ(Total(), "hits 1, misses 2, computations 2, currsize 2");
  ASSERT_TRUE(first.Close().ok());
  EXPECT_EQ(Total(), "hits 1, misses 2, computations 2, currsize 2");
  ASSERT_TRUE(second.UpdateState(State("t")).ok());
  EXPECT_EQ(Total(), "hits 1, misses 2, computations 2, currsize 1");
  EXPECT_EQ(Info(second), "misses 1, computations 1, currsize 1") << "what t has counted";
}

TEST_F(StateScopeTest, ClearOfOneOfThemClearsForAll) {
  ServeSharing();
  SessionHandle first = Open("s");
  const SessionHandle second = Open("s");
  Get(first, "x");
  Get(second, "y");
  EXPECT_EQ(first.ClearCache()->entries(), 2);
  EXPECT_EQ(Info(second), "currsize 0");
  EXPECT_EQ(Get(second, "x"), "miss s:x");
}

// Under load

TEST_F(StateScopeTest, NoAnswerIsEverOfAnotherState) {
  ServeSharing();
  constexpr int kClients = 4;
  const int rounds = Scaled(400);
  std::vector<std::thread> clients;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < kClients; ++t) {
    clients.emplace_back([&, t] {
      std::mt19937 random(t);
      const auto one_of = [&](const char* prefix, int count) {
        return absl::StrCat(prefix, random() % count);
      };
      std::string state = one_of("s", 3);
      std::optional<SessionHandle> session = Open(state);
      for (int i = 0; i < rounds; ++i) {
        const int what = static_cast<int>(random() % 10);
        if (what == 0) {
          session.reset();
          state = one_of("s", 3);
          session = Open(state);
        } else if (what == 1) {
          state = one_of("s", 3);
          if (!session->UpdateState(State(state)).ok()) ++wrong;
        } else {
          const std::string key = one_of("k", 4);
          const Told told = Ask(session->handle(), Request(key));
          const std::string words = told.Words();
          if (!told.status.ok() || !words.ends_with(absl::StrCat(" ", state, ":", key))) ++wrong;
        }
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_TRUE(AliveSoon("nothing"));
  EXPECT_GT(AdminInfo("", kCompute).total().hits(), 0);
}

}  // namespace
}  // namespace memod
