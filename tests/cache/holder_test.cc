// Who holds a session, and when it is closed since nobody does.
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "memod/cache/memo_error.h"
#include "memod/cache/session.h"
#include "memod/tests/cache/fixture.h"

namespace memod {
namespace {

using std::chrono::milliseconds;

class HolderTest : public CacheTest {
 protected:
  // Notes what it is told.
  struct Stream final : Holder {
    void OnClosed(CloseReason reason) override {
      told.push_back("closed " + std::to_string(static_cast<int>(reason)));
    }
    void OnReplaced() override { told.push_back("replaced"); }
    std::vector<std::string> told;
  };
  using Told = std::vector<std::string>;
  static std::string Closed(CloseReason reason) {
    return "closed " + std::to_string(static_cast<int>(reason));
  }

  explicit HolderTest(const SessionTable::Limits& limits = {}) : CacheTest(std::nullopt, limits) {
    on_close_ = [this](const Session&, CloseReason reason, const Receipt&) { reason_ = reason; };
  }

  // Neither sooner nor later.
  void LapsesAfter(Duration time, const SessionPtr& session,
                   CloseReason reason = CloseReason::kLeaseLapsed) {
    Run(time - milliseconds(1));
    EXPECT_TRUE(IsOpen(session));
    Run(milliseconds(1));
    EXPECT_FALSE(IsOpen(session));
    EXPECT_EQ(reason_, reason);
  }

  std::shared_ptr<Stream> Hold(const SessionPtr& session, const std::string& name = "") {
    auto stream = std::make_shared<Stream>();
    EXPECT_TRUE(table_->Hold(*session, name, stream).ok());
    return stream;
  }
  void LetGo(const SessionPtr& session, const Stream& stream, Duration resume_window = {}) {
    table_->LetGo(session, stream, CloseReason::kClientGone, resume_window, now_);
  }
  void Lease(const SessionPtr& session, Duration ttl) {
    EXPECT_TRUE(table_->Lease(*session, ttl, now_).ok());
  }
  void Run(Duration d) {
    for (const Time until = now_ + d; now_ < until;) {
      now_ = std::min(until, now_ + Leases::kTick);
      while (table_->leases().Advance(now_)) {
      }
    }
  }
  static bool IsOpen(const SessionPtr& session) { return session->incarnation() != nullptr; }

  std::optional<CloseReason> reason_;  // of the last that was closed
};

TEST_F(HolderTest, SessionIsClosedWithItsLastHolder) {
  const SessionPtr s = Open();
  Get(s, Method(), "k");
  const auto a = Hold(s), b = Hold(s);
  LetGo(s, *a);
  EXPECT_TRUE(IsOpen(s));
  LetGo(s, *a);  // it holds no more
  EXPECT_TRUE(IsOpen(s));
  LetGo(s, *b);
  EXPECT_FALSE(IsOpen(s));
  EXPECT_EQ(reason_, CloseReason::kClientGone);
  EXPECT_EQ(context_.bytes.used(), 0);
  EXPECT_EQ(a->told, Told());  // they had let go
  EXPECT_EQ(b->told, Told());
  EXPECT_EQ(table_->Hold(*s, "", a), SessionNotFound());
}

TEST_F(HolderTest, AllHoldersAreToldThatItIsClosed) {
  const SessionPtr s = Open();
  const auto a = Hold(s), b = Hold(s, "b");
  table_->Close(s, CloseReason::kClosedByAdmin);
  EXPECT_EQ(a->told, Told{Closed(CloseReason::kClosedByAdmin)});
  EXPECT_EQ(b->told, a->told);
  LetGo(s, *a);
  EXPECT_EQ(closed_, 1);
}

TEST_F(HolderTest, NewerHolderOfTheSameNameTakesThePlaceOfTheOlder) {
  const SessionPtr s = Open();
  const auto before = Hold(s, "a");
  const auto after = Hold(s, "a");
  EXPECT_EQ(before->told, Told{"replaced"});
  LetGo(s, *before);  // what becomes of it is nobody's business any more
  EXPECT_TRUE(IsOpen(s));
  LetGo(s, *after);
  EXPECT_FALSE(IsOpen(s));
}

TEST_F(HolderTest, HoldersWithoutANameAreAllOthers) {
  const SessionPtr s = Open();
  const auto a = Hold(s), b = Hold(s);
  EXPECT_EQ(a->told, Told());
  LetGo(s, *a);
  LetGo(s, *b);
  EXPECT_FALSE(IsOpen(s));
}

TEST_F(HolderTest, HolderThatIsGoneIsNotTold) {
  const SessionPtr s = Open();
  auto a = Hold(s, "a");
  const auto b = Hold(s, "b");
  LetGo(s, *a);
  a.reset();
  table_->Close(s, CloseReason::kClosedByAdmin);
  EXPECT_EQ(b->told.size(), 1u);
}

class MaxHoldersTest : public HolderTest {
 protected:
  MaxHoldersTest() : HolderTest({.max_holders = 2}) {}
  const absl::Status kFull =
      MemoError(absl::StatusCode::kResourceExhausted, memo_error::kLimit,
                "too many holders of the session: 2 hold it, limit 2 (session.max_holders)");
};

TEST_F(MaxHoldersTest, OneMoreIsRefusedUntilAnotherLetsGo) {
  const SessionPtr s = Open(), other = Open();
  const auto a = Hold(s, "a"), b = Hold(s), c = std::make_shared<Stream>();
  EXPECT_EQ(table_->Hold(*s, "", c), kFull);
  EXPECT_EQ(table_->Hold(*s, "c", c), kFull);
  EXPECT_EQ(table_->holders(), 2);
  Hold(other);
  LetGo(s, *c);  // it never held
  LetGo(s, *b);
  EXPECT_TRUE(table_->Hold(*s, "c", c).ok());
  LetGo(s, *a);
  LetGo(s, *c);
  EXPECT_FALSE(IsOpen(s));
  Close(other);
}

TEST_F(MaxHoldersTest, NewerHolderOfTheSameNameAlwaysTakesThePlaceOfTheOlder) {
  const SessionPtr s = Open();
  const auto a = Hold(s, "a"), b = Hold(s, "b"), again = Hold(s, "a");
  EXPECT_EQ(a->told, Told{"replaced"});
  EXPECT_EQ(b->told, Told());
  EXPECT_EQ(table_->holders(), 2);
  Close(s);
}

TEST_F(MaxHoldersTest, NoMoreAreExpectedThanMayHold) {
  const SessionPtr s = Open(), other = Open();
  const auto a = Hold(s, "a"), b = Hold(s, "b");
  auto first = table_->ExpectHolder(s), second = table_->ExpectHolder(s);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->get(), s.get());
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(table_->ExpectHolder(s).status(),
            MemoError(absl::StatusCode::kResourceExhausted, memo_error::kLimit,
                      "too many holders of the session: 2 are about to hold it, limit 2 "
                      "(session.max_holders)"));
  EXPECT_TRUE(table_->ExpectHolder(other).ok());
  first->reset();
  EXPECT_TRUE(table_->ExpectHolder(s).ok());
  second->reset();
  Close(s);
  Close(other);
}

TEST_F(MaxHoldersTest, SessionInItsResumeWindowIsTakenUp) {
  const SessionPtr s = Open();
  const auto a = Hold(s), b = Hold(s);
  LetGo(s, *a, seconds(5));
  LetGo(s, *b, seconds(5));
  Hold(s, "c");
  EXPECT_EQ(table_->leases().size(), 0);
  Close(s);
}

// Leases

TEST_F(HolderTest, LeasedSessionIsClosedWhenTheLeaseLapses) {
  const SessionPtr s = Open();
  Lease(s, seconds(10));
  Run(seconds(9));
  EXPECT_TRUE(table_->Renew(*s, now_).ok());
  LapsesAfter(seconds(10), s);
  EXPECT_EQ(table_->Renew(*s, now_), SessionNotFound());
  EXPECT_EQ(table_->Lease(*s, seconds(1), now_), SessionNotFound());
}

TEST_F(HolderTest, LeaseAndHolderHoldItEachByItself) {
  const SessionPtr leased = Open(), held = Open();
  const auto a = Hold(leased), b = Hold(held);
  Lease(leased, seconds(10));
  Lease(held, seconds(10));
  LetGo(leased, *a);
  EXPECT_TRUE(IsOpen(leased));
  Run(seconds(11));
  EXPECT_FALSE(IsOpen(leased));
  EXPECT_TRUE(IsOpen(held));
  EXPECT_EQ(table_->Find(held->handle()), held);
  EXPECT_EQ(table_->Renew(*held, now_).code(), absl::StatusCode::kFailedPrecondition);
  Lease(held, seconds(10));  // and once more
  LetGo(held, *b);
  EXPECT_TRUE(IsOpen(held));
  Run(seconds(10));
  EXPECT_FALSE(IsOpen(held));
}

// Closing them takes its time. For callers they end before the first of them is closed.
TEST_F(HolderTest, SessionsWhoseLeasesLapseTogetherEndTogether) {
  std::vector<SessionPtr> sessions;
  for (int i = 0; i < 500; ++i) Lease(sessions.emplace_back(Open()), seconds(10));
  const SessionPtr held = sessions.back();
  const auto holder = Hold(held);
  const auto late = std::make_shared<Stream>();
  int found = 0, held_late = 0, renewed = 0, leased = 0;
  on_close_ = [&](const Session&, CloseReason, const Receipt&) {
    if (closed_ > 1) return;
    for (const SessionPtr& s : sessions) {
      if (s == held) continue;
      found += table_->Find(s->handle()) != nullptr;
      held_late += table_->Hold(*s, "", late).ok();
      renewed += table_->Renew(*s, now_).ok();
      leased += table_->Lease(*s, seconds(1), now_).ok();
    }
    EXPECT_EQ(table_->Find(held->handle()), held);
    EXPECT_EQ(table_->size(), 499) << "they are counted as long as they are there";
  };
  Run(seconds(10) - milliseconds(1));
  EXPECT_EQ(closed_, 0);
  for (const SessionPtr& s : sessions) EXPECT_EQ(table_->Find(s->handle()), s);
  Run(milliseconds(1));
  EXPECT_EQ(closed_, 499);
  EXPECT_EQ(found, 0);
  EXPECT_EQ(held_late, 0);
  EXPECT_EQ(renewed, 0);
  EXPECT_EQ(leased, 0);
  EXPECT_EQ(table_->holders(), 1);
  EXPECT_EQ(table_->leases().size(), 0);
  EXPECT_TRUE(IsOpen(held));
  LetGo(held, *holder);
}

TEST_F(HolderTest, ClosedSessionHasNoLease) {
  const SessionPtr s = Open();
  Lease(s, seconds(10));
  EXPECT_EQ(table_->leases().size(), 1);
  Close(s);
  EXPECT_EQ(table_->leases().size(), 0);
  Run(seconds(11));
  EXPECT_EQ(closed_, 1);
}

// The resume window

TEST_F(HolderTest, SessionWaitsForAnotherHolderWithinTheResumeWindow) {
  const SessionPtr s = Open();
  const auto a = Hold(s, "a");
  LetGo(s, *a, seconds(5));
  Run(seconds(4));
  EXPECT_TRUE(IsOpen(s));
  const auto b = Hold(s, "a");
  EXPECT_EQ(a->told, Told());
  Run(seconds(60));
  EXPECT_TRUE(IsOpen(s));
  LetGo(s, *b, seconds(5));
  Run(seconds(5));
  EXPECT_FALSE(IsOpen(s));
  EXPECT_EQ(reason_, CloseReason::kClientGone);
}

TEST_F(HolderTest, WhoComesWithinTheResumeWindowMayLetGoAtOnce) {
  const SessionPtr s = Open();
  const auto a = Hold(s, "a");
  LetGo(s, *a, seconds(5));
  const auto b = Hold(s, "a");
  EXPECT_EQ(table_->leases().size(), 0);
  EXPECT_EQ(table_->Renew(*s, now_).code(), absl::StatusCode::kFailedPrecondition);
  LetGo(s, *b);
  EXPECT_FALSE(IsOpen(s));
}

TEST_F(HolderTest, LeaseIsWhatItWasWhateverBecomesOfTheHoldersBesideIt) {
  const SessionPtr s = Open();
  Lease(s, seconds(10));
  LetGo(s, *Hold(s), seconds(1));
  Run(seconds(9));
  EXPECT_TRUE(table_->Renew(*s, now_).ok());
  LetGo(s, *Hold(s));
  LapsesAfter(seconds(10), s);
}

TEST_F(HolderTest, ResumeWindowIsNoLease) {
  const SessionPtr s = Open();
  LetGo(s, *Hold(s), seconds(10));
  EXPECT_FALSE(table_->leases().granted(*s));
  Run(seconds(9));
  EXPECT_EQ(table_->Renew(*s, now_).code(), absl::StatusCode::kFailedPrecondition);
  LapsesAfter(seconds(1), s, CloseReason::kClientGone);
  EXPECT_EQ(table_->Renew(*s, now_), SessionNotFound());
}

// Each by itself: the later one decides.
TEST_F(HolderTest, LeaseAndResumeWindowDoNotChangeEachOther) {
  const SessionPtr window_last = Open(), lease_last = Open(), leased_late = Open(),
                   resumed = Open();
  for (const SessionPtr& s : {window_last, lease_last, resumed}) Lease(s, seconds(10));
  LetGo(window_last, *Hold(window_last), seconds(60));
  LetGo(lease_last, *Hold(lease_last), seconds(5));
  LetGo(leased_late, *Hold(leased_late), seconds(10));
  LetGo(resumed, *Hold(resumed), seconds(60));
  const auto back = Hold(resumed);

  Run(seconds(9));
  Lease(leased_late, seconds(10));
  LapsesAfter(seconds(1), lease_last);
  EXPECT_TRUE(IsOpen(resumed));
  LetGo(resumed, *back);
  EXPECT_FALSE(IsOpen(resumed)) << "its lease was over when its time was";
  EXPECT_EQ(table_->Renew(*window_last, now_).code(), absl::StatusCode::kFailedPrecondition);
  LapsesAfter(seconds(9), leased_late);
  LapsesAfter(seconds(41), window_last, CloseReason::kClientGone);
}

TEST_F(HolderTest, OfResumeWindowsThatEndTogetherNoneIsFoundAnyMore) {
  std::vector<SessionPtr> sessions;
  for (int i = 0; i < 500; ++i) {
    const SessionPtr& s = sessions.emplace_back(Open());
    LetGo(s, *Hold(s), seconds(10));
  }
  const auto late = std::make_shared<Stream>();
  int found = 0, held = 0;
  on_close_ = [&](const Session&, CloseReason, const Receipt&) {
    if (closed_ > 1) return;
    for (const SessionPtr& s : sessions) {
      found += table_->Find(s->handle()) != nullptr;
      held += table_->Hold(*s, "", late).ok();
    }
  };
  Run(seconds(10));
  EXPECT_EQ(closed_, 500);
  EXPECT_EQ(found, 0);
  EXPECT_EQ(held, 0);
}

TEST_F(HolderTest, ResumeWindowBeginsWithTheLastHolder) {
  const SessionPtr s = Open();
  const auto a = Hold(s), b = Hold(s);
  LetGo(s, *a, seconds(5));
  EXPECT_EQ(table_->leases().size(), 0);
  LetGo(s, *b, seconds(5));
  EXPECT_EQ(table_->leases().size(), 1);
  Run(seconds(5));
  EXPECT_FALSE(IsOpen(s));
}

// Whoever comes last decides: never a session that somebody holds and that is closed, or one that
// nobody holds and that is open.
TEST_F(HolderTest, HoldersThatComeAndGoOnManyThreads) {
  constexpr int kThreads = 4, kTimes = 2000;
  for (int round = 0; round < 5; ++round) {
    const SessionPtr s = Open();
    const auto first = Hold(s);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < kTimes; ++i) {
          const auto stream = std::make_shared<Stream>();
          if (!table_->Hold(*s, "", stream).ok()) return;
          EXPECT_TRUE(IsOpen(s));
          table_->LetGo(s, *stream, CloseReason::kClientGone, {}, now_);
        }
      });
    }
    LetGo(s, *first);
    for (std::thread& thread : threads) thread.join();
    EXPECT_FALSE(IsOpen(s));
  }
}

}  // namespace
}  // namespace memod
