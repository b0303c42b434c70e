// The life of a session: what opening, a change of state and closing do, and what totals keep.
#include "memod/cache/session.h"

#include <latch>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "memod/cache/memo_error.h"
#include "memod/tests/cache/fixture.h"

namespace memod {
namespace {

class SessionTest : public CacheTest {
 protected:
  static constexpr int kMaxSessions = 3;
  SessionTest() : CacheTest(std::nullopt, {.max_sessions = kMaxSessions}) {}
};

// Identity

TEST_F(SessionTest, HandleIsASecretAndIdIsNot) {
  std::set<std::string> handles, ids;
  for (int i = 0; i < 100; ++i) {
    const SessionPtr s = Open();
    EXPECT_GE(s->handle().size(), 43u);  // 256 bits in base64
    EXPECT_EQ(s->handle().find(s->id()), std::string::npos);
    handles.insert(s->handle());
    ids.insert(s->id());
    Close(s);
  }
  EXPECT_EQ(handles.size(), 100u);
  EXPECT_EQ(ids.size(), 100u);
}

TEST_F(SessionTest, IsFoundByItsHandleAndIdWhileItIsOpen) {
  const SessionPtr s = Open();
  EXPECT_EQ(table_->Find(s->handle()), s);
  EXPECT_EQ(table_->FindById(s->id()), s);
  EXPECT_EQ(table_->Find(s->id()), nullptr);
  EXPECT_EQ(table_->FindById(s->handle()), nullptr);
  Close(s);
  EXPECT_EQ(table_->Find(s->handle()), nullptr);
  EXPECT_EQ(table_->FindById(s->id()), nullptr);
  EXPECT_EQ(s->incarnation(), nullptr);
}

TEST_F(SessionTest, UnknownAndMalformedHandlesAreNeverFound) {
  const SessionPtr s = Open();
  std::string changed = s->handle();
  changed[0] = changed[0] == 'A' ? 'B' : 'A';
  for (const std::string& handle : {std::string(), std::string("x"), changed, s->handle() + "A",
                                    s->handle().substr(1), std::string(1000, '\0')}) {
    EXPECT_EQ(table_->Find(handle), nullptr);
  }
}

TEST_F(SessionTest, KeepsWhoOpenedItAndWhen) {
  const Time opened = now_;
  const SessionPtr s = Open();
  Advance(seconds(5));
  EXPECT_EQ(s->peer(), "peer");
  EXPECT_EQ(s->opened_at(), opened);
  EXPECT_EQ(s->incarnation()->state_type, "test.State");
}

TEST_F(SessionTest, ListIsInTheOrderOfIdsAPageAtATime) {
  std::set<std::string> ids;
  for (int i = 0; i < 3; ++i) ids.insert(Open()->id());
  std::vector<std::string> listed;
  for (std::string after;;) {
    const auto page = table_->List(after, 2);
    for (const auto& s : page) listed.push_back(s->id());
    if (page.empty()) break;
    after = listed.back();
  }
  EXPECT_EQ(listed, std::vector<std::string>(ids.begin(), ids.end()));
}

// Equal states and sharing

TEST_F(SessionTest, SessionsWithEqualStateNeverSeeOneAnothersAnswersOrInstance) {
  const auto& m = Method({.max_entries = 1});
  const SessionPtr s = Open("equal"), t = Open("equal");
  EXPECT_EQ(Get(s, m, "k"), "miss =k");
  EXPECT_EQ(Get(t, m, "k"), "miss =k");
  EXPECT_NE(s->incarnation()->self, t->incarnation()->self);
  Get(s, m, "other");  // evicts in its own cache
  EXPECT_EQ(Get(t, m, "k"), "hit =k");
  EXPECT_EQ(Counts(Info(s, m)), "misses 2, computations 2, evictions 1, currsize 1");
  EXPECT_EQ(Counts(Info(t, m)), "hits 1, misses 1, computations 1, currsize 1");
}

TEST_F(SessionTest, ServerScopeIsSharedAndOutlivesSessions) {
  const auto& m = Method({.scope = Scope::kServer});
  const SessionPtr s = Open(), t = Open();
  Caller& first = Call(s, m, "k");
  EXPECT_EQ(StateOf(first), "no instance");
  Finish(first, "v");
  Close(s);
  EXPECT_EQ(Get(t, m, "k"), "hit v");
  Close(t);
  EXPECT_EQ(Get(nullptr, m, "k"), "hit v");
  EXPECT_EQ(Counts(table_->GetTotals().Info(m)), "hits 2, misses 1, computations 1, currsize 1");
}

// Limits

TEST_F(SessionTest, OpensAsManyAsMayBe) {
  std::vector<SessionPtr> sessions;
  for (int i = 0; i < kMaxSessions; ++i) {
    EXPECT_TRUE(table_->CheckRoom("peer").ok());
    sessions.push_back(Open());
  }
  const absl::Status full = table_->CheckRoom("peer");
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(full.message().find(std::to_string(kMaxSessions)), std::string::npos);
  EXPECT_EQ(table_->Open(table_->MakeOrigin("", {}), "", now_).status(), full);
  Close(sessions[0]);
  EXPECT_NE(Open(), nullptr);
}

class SessionsPerPeerTest : public CacheTest {
 protected:
  SessionsPerPeerTest() : CacheTest(std::nullopt, {.max_sessions = 100, .max_per_peer = 2}) {}

  SessionPtr OpenFrom(const std::string& peer) {
    auto session = table_->Open(table_->MakeOrigin("", {}), peer, now_);
    const absl::StatusCode check = table_->CheckRoom(peer).code();
    EXPECT_TRUE(session.ok() || check == absl::StatusCode::kResourceExhausted);
    return session.ok() ? *session : nullptr;
  }
};

TEST_F(SessionsPerPeerTest, PeerIsTheAddressWithoutThePort) {
  const SessionPtr first = OpenFrom("ipv4:10.0.0.1:5000");
  EXPECT_NE(OpenFrom("ipv4:10.0.0.1:5001"), nullptr);
  EXPECT_EQ(OpenFrom("ipv4:10.0.0.1:5002"), nullptr);
  EXPECT_EQ(OpenFrom("ipv4:10.0.0.1:5000"), nullptr);
  EXPECT_EQ(table_->CheckRoom("ipv4:10.0.0.1:1").message(),
            "too many sessions from ipv4:10.0.0.1: 2 are open, limit 2 (session.max_per_peer)");
  EXPECT_TRUE(table_->CheckRoom("ipv4:10.0.0.2:1").ok());
  Close(first);
  EXPECT_NE(OpenFrom("ipv4:10.0.0.1:5002"), nullptr);
  EXPECT_EQ(OpenFrom("ipv4:10.0.0.1:5003"), nullptr);
  table_->CloseAll(CloseReason::kServerStopping);
}

TEST_F(SessionsPerPeerTest, OtherKindsOfAddresses) {
  for (const auto& [one, two, other] : std::vector<std::array<std::string, 3>>{
           {"ipv6:%5B2001:db8::1%5D:5000", "ipv6:%5B2001:db8::1%5D:5001",
            "ipv6:%5B2001:db8::2%5D:1"},
           {"ipv6:[::1]:5000", "ipv6:[::1]:5001", "ipv6:[::2]:5000"},
           {"unix:", "unix:/run/memod.sock", "ipv4:10.0.0.1:5000"}}) {
    EXPECT_NE(OpenFrom(one), nullptr);
    EXPECT_NE(OpenFrom(two), nullptr);
    EXPECT_EQ(OpenFrom(one), nullptr);
    EXPECT_NE(OpenFrom(other), nullptr);
    table_->CloseAll(CloseReason::kServerStopping);
  }
}

// Closing

TEST_F(SessionTest, IsClosedOnceForGood) {
  const SessionPtr s = Open();
  Close(s);
  EXPECT_EQ(table_->Close(s, CloseReason::kClosedByAdmin), std::nullopt);
  EXPECT_EQ(closed_, 1);
  EXPECT_EQ(table_->Update(*s, table_->MakeOrigin("", {})).status(), SessionNotFound());
  EXPECT_EQ(table_->Clear(s.get(), nullptr), Receipt{});
  EXPECT_EQ(Get(s, Method(), "k"), "miss SESSION_NOT_FOUND");
  EXPECT_EQ(table_->size(), 0);
}

TEST_F(SessionTest, OnCloseIsToldTheReasonAndTheReceipt) {
  const auto& m = Method();
  std::vector<std::string> told;
  on_close_ = [&](const Session& s, CloseReason reason, const Receipt& receipt) {
    EXPECT_EQ(reason, CloseReason::kClosedByAdmin);
    EXPECT_EQ(table_->size(), 0);  // under no lock of the table
    told.push_back(s.id() + " " + std::to_string(receipt.entries));
  };
  const SessionPtr s = Open();
  Get(s, m, "a");
  Get(s, m, "b");
  table_->Close(s, CloseReason::kClosedByAdmin);
  EXPECT_EQ(told, std::vector<std::string>{s->id() + " 2"});
}

TEST_F(SessionTest, ReceiptSaysWhatWasReleased) {
  const auto &m = Method(), &n = Method();
  const SessionPtr s = Open();
  Get(s, m, "a");
  Caller& slow = Call(s, n, "b");
  Advance(seconds(4));
  Finish(slow, "v");
  EXPECT_EQ(Close(s), (Receipt{2, ChargeOf("a", "=a") + ChargeOf("b", "v"), 4}));
}

TEST_F(SessionTest, CloseDestroysTheInstanceAtAnyBoundAlsoUnbounded) {
  for (const auto max_entries :
       {std::optional<int64_t>(0), std::optional<int64_t>(128), std::optional<int64_t>()}) {
    const auto& m = Method({.max_entries = max_entries});
    const SessionPtr s = Open();
    for (int i = 0; i < 300; ++i) Get(s, m, std::to_string(i));
    EXPECT_EQ(InstancesAlive(), 1);
    Close(s);
    EXPECT_EQ(InstancesAlive(), 0);
    EXPECT_EQ(context_.instances, 0);
    EXPECT_EQ(context_.bytes.used(), 0);
    EXPECT_EQ(table_->GetTotals().Info(m).currsize, 0);
  }
}

TEST_F(SessionTest, HoldingASessionKeepsNothingOfIt) {
  const SessionPtr s = Open();
  Get(s, Method(), "k");
  table_->Close(s, CloseReason::kClientGone);
  EXPECT_EQ(InstancesAlive(), 0);
  EXPECT_EQ(s.use_count(), 1);
}

TEST_F(SessionTest, CloseAndClearWaitForNoMemoryToBeFreed) {
  std::latch gate(1);
  static const int something = 0;
  context_.reaper.Add(std::shared_ptr<const int>(&something, [&gate](const int*) { gate.wait(); }));
  const auto& m = Method({.max_entries = std::nullopt});
  const SessionPtr s = Open(), t = Open();
  for (int i = 0; i < 1000; ++i) Get(s, m, std::to_string(i));
  for (int i = 0; i < 1000; ++i) Get(t, m, std::to_string(i));
  EXPECT_EQ(Close(s).entries, 1000);
  EXPECT_EQ(table_->Clear(t.get(), &m).entries, 1000);
  EXPECT_EQ(context_.bytes.used(), 0);
  EXPECT_EQ(context_.instances, 2);  // the reaper is not there yet
  gate.count_down();
  EXPECT_EQ(InstancesAlive(), 1);
}

TEST_F(SessionTest, ManySessionsOfOneCallEachLeaveNothing) {
  const auto& m = Method({.max_entries = std::nullopt});
  constexpr int kSessions = 10'000;
  for (int i = 0; i < kSessions; ++i) {
    const SessionPtr s = Open();
    EXPECT_EQ(Get(s, m, "equal"), "miss =equal");
    Close(s);
  }
  EXPECT_EQ(context_.bytes.used(), 0);
  EXPECT_EQ(InstancesAlive(), 0);
  EXPECT_EQ(Counts(table_->GetTotals().Info(m)), "misses 10000, computations 10000, currsize 0");
}

// Changing the state

TEST_F(SessionTest, UpdateStartsAnEmptyCacheOnTheNewState) {
  const auto& m = Method();
  const SessionPtr s = Open("first state");
  Get(s, m, "k");
  EXPECT_EQ(Update(s, "second state"), (Receipt{1, ChargeOf("k", "=k"), 0}));
  EXPECT_EQ(InstancesAlive(), 1);
  EXPECT_EQ(Counts(Info(s, m)), "currsize 0");
  Caller& next = Call(s, m, "k");
  EXPECT_EQ(StateOf(next), "second state");
  Finish(next, "new");
  EXPECT_EQ(Get(s, m, "k"), "hit new");
  EXPECT_EQ(table_->Find(s->handle()), s);
}

TEST_F(SessionTest, CallThatTookTheOldIncarnationIsSentToTheNewOne) {
  const auto& m = Method();
  const SessionPtr s = Open("first state");
  const std::shared_ptr<Incarnation> old = s->incarnation();
  Update(s, "second state");
  Caller unused;
  const auto result = old->cache->GetOrCompute(
      {.method = m,
       .key = CacheKey(m.id, "k"),
       .control = Control::kNone,
       .now = now_,
       .waiter = &unused,
       .self = old->self},
      [](std::shared_ptr<Flight>) { ADD_FAILURE() << "computed on a detached cache"; });
  EXPECT_TRUE(std::holds_alternative<MemoCache::Detached>(result));
}

TEST_F(SessionTest, UpdatesDoNotPileUp) {
  const SessionPtr s = Open();
  const auto& m = Method();
  for (int i = 0; i < 1000; ++i) {
    Get(s, m, "k");
    Update(s, std::to_string(i));
  }
  EXPECT_EQ(InstancesAlive(), 1);
}

// Totals

TEST_F(SessionTest, TotalsKeepTheHistoryOfClosedSessionsAndFormerStates) {
  const auto& m = Method();
  const SessionPtr s = Open(), t = Open();
  Get(s, m, "k");
  Get(s, m, "k");
  Update(s, "");
  Get(s, m, "k");
  Get(t, m, "k");
  const std::string counted = "hits 1, misses 3, computations 3, currsize ";
  EXPECT_EQ(Counts(table_->GetTotals().Info(m)), counted + "2");
  Close(s);
  EXPECT_EQ(Counts(table_->GetTotals().Info(m)), counted + "1");
  Close(t);
  EXPECT_EQ(Counts(table_->GetTotals().Info(m)), counted + "0");
}

TEST_F(SessionTest, ClearOfASessionLeavesTheTotalsCounters) {
  const auto& m = Method();
  const SessionPtr s = Open();
  Get(s, m, "k");
  table_->Clear(s.get(), nullptr);
  EXPECT_EQ(Counts(Info(s, m)), "currsize 0");
  EXPECT_EQ(Counts(table_->GetTotals().Info(m)), "misses 1, computations 1, currsize 0");
}

TEST_F(SessionTest, ClearOfAllStartsCountingAnewAtEveryLevel) {
  const auto &m = Method(), &other = Method(), &shared = Method({.scope = Scope::kServer});
  const SessionPtr s = Open(), t = Open();
  for (const MemoizedMethod* method : {&m, &other, &shared}) Get(s, *method, "k");
  Get(t, m, "k");
  Close(t);
  EXPECT_EQ(table_->Clear(nullptr, &m), (Receipt{1, ChargeOf("k", "=k"), 0}));
  EXPECT_EQ(Counts(table_->GetTotals().Info(m)), "currsize 0");
  EXPECT_EQ(Counts(Info(s, m)), "currsize 0");
  EXPECT_EQ(Counts(table_->GetTotals().Info(other)), "misses 1, computations 1, currsize 1");
  EXPECT_EQ(table_->Clear(nullptr, nullptr).entries, 2);
  for (const MemoizedMethod* method : {&m, &other, &shared}) {
    EXPECT_EQ(Counts(table_->GetTotals().Info(*method)), "currsize 0");
    EXPECT_EQ(Get(s, *method, "k"), "miss =k");
  }
  Close(s);
  EXPECT_EQ(Counts(table_->GetTotals().Info(m)), "misses 1, computations 1, currsize 0");
}

TEST_F(SessionTest, CountersOfFormerStatesStandStill) {
  const auto& m = Method();
  const SessionPtr s = Open();
  begin_at_once_ = false;
  Caller &ends_well = Call(s, m, "a"), &fails = Call(s, m, "b");
  const std::shared_ptr<MemoCache> former = s->incarnation()->cache;
  Update(s, "");
  for (Caller* caller : {&ends_well, &fails}) EXPECT_TRUE(caller->flight()->Begin(now_));
  Finish(ends_well, "v");
  Fail(fails);
  EXPECT_EQ(Counts(former->GetHistory().at(0).info), "misses 2, currsize 0");
  EXPECT_EQ(Counts(table_->GetTotals().Info(m)), "misses 2, currsize 0");
}

TEST_F(SessionTest, WhatAClosedSessionStillComputesIsNotCounted) {
  const auto& m = Method();
  const SessionPtr s = Open();
  Caller& running = Call(s, m, "k");
  Close(s);
  const CacheInfo before = table_->GetTotals().Info(m);
  Fail(running);
  EXPECT_EQ(table_->GetTotals().Info(m), before);
  EXPECT_EQ(Counts(before), "misses 1, computations 1, currsize 0");
}

}  // namespace
}  // namespace memod
