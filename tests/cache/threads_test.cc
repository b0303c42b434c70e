// Many threads on everything at once. What each is told must be right, totals must only grow, and
// nothing may be left. What the threads race on is for the sanitizers to say.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "memod/cache/memo_error.h"
#include "memod/cache/session_table.h"
#include "memod/tests/cache/fixture.h"

namespace memod {
namespace {

constexpr int kThreads = 8;
constexpr int kSlots = 12;
constexpr int kKeys = 20;

int OperationsPerThread() {
  const char* scale = std::getenv("MEMOD_TEST_SCALE");
  return 150'000 / std::max(1, scale == nullptr ? 1 : std::atoi(scale));
}

// An open session. One thread at a time changes it: what an answer may be made from is then known.
struct Opened {
  explicit Opened(int name) : name(name) {}
  const int name;
  std::shared_ptr<Session> session;
  Mutex changing;
  std::atomic<int> state{0};  // as of the updates that are over
  std::atomic<int> clears_begun{0};
  std::atomic<int> clears_over{0};
};

struct Instance {
  const int name;
  const int state;
  const std::shared_ptr<const Opened> opened;
};

// An answer says whose it is, to what, the state it was made from, and after how many clears.
std::string AnswerTo(const Flight& flight, const Instance* instance) {
  const std::string request(flight.request());
  if (instance == nullptr) return "0 0 0 " + request;
  return absl::StrCat(instance->name, " ", instance->state, " ",
                      instance->opened->clears_begun.load(), " ", request);
}

// Checks what it is told, and that it is told once.
struct CheckingCaller final : Waiter {
  void OnAnswer(const Outcome& outcome) override {
    if (outcome.answer.ok()) {
      Check(std::string((*outcome.answer)->bytes()));
    } else {
      const absl::StatusCode code = outcome.answer.status().code();
      EXPECT_TRUE(code == absl::StatusCode::kNotFound || code == absl::StatusCode::kAborted ||
                  code == absl::StatusCode::kInternal ||
                  code == absl::StatusCode::kDeadlineExceeded);
    }
    EXPECT_EQ(told.fetch_add(1), 0);  // from here on its owner may let go of it
  }
  void Check(const std::string& answer) const {
    int of_name = 0, of_state = 0, after_clears = 0, to = 0;
    ASSERT_EQ(sscanf(answer.c_str(), "%d %d %d %d", &of_name, &of_state, &after_clears, &to), 4);
    EXPECT_EQ(std::to_string(to), request);
    EXPECT_EQ(of_name, name);
    // Nothing begun before an update or a clear is seen by a call after it.
    EXPECT_GE(of_state, state);
    EXPECT_GE(after_clears, clears);
  }

  std::string request;
  int name = 0, state = 0, clears = 0;  // of the session when it called
  std::shared_ptr<Flight> flight;
  std::atomic<int> told{0};
};

class ThreadsTest : public ::testing::Test {
 protected:
  static inline const int64_t kLargestCharge = ChargeOf("12", "10000 1000 1000 12");
  ThreadsTest() : context_(60 * kLargestCharge) {
    methods_.emplace_back(0, "/test/Plain", Policy{.max_entries = 5});
    methods_.emplace_back(1, "/test/Total",
                          Policy{.max_entries = std::nullopt, .max_entries_total = 30});
    methods_.emplace_back(2, "/test/Apart", Policy{.ttl = Duration(20'000), .coalesce = false});
    methods_.emplace_back(3, "/test/Shared", Policy{.scope = Scope::kServer});
    table_.emplace(context_, SessionTable::Limits{.max_sessions = 2 * kSlots},
                   [this](const Session&, CloseReason, const Receipt&) { ++closed_; });
  }

  Time Now() { return Time(Duration(++clock_)); }

  void Open(size_t slot) {
    auto opened = std::make_shared<Opened>(++names_);
    auto incarnation = table_->MakeOrigin("", {.instance = InstanceOf(opened, 0), .metadata = {}});
    auto session = table_->Open(std::move(incarnation), "", Now());
    if (!session.ok()) return;
    ++opened_;
    opened->session = *std::move(session);
    std::shared_ptr<Opened> before;
    {
      MutexLock lock(slots_mutex_);
      before = std::exchange(slots_[slot], opened);
    }
    if (before != nullptr) Close(*before);
  }

  // The session and its instance hold one another until the session is closed.
  static std::shared_ptr<const void> InstanceOf(const std::shared_ptr<Opened>& opened, int state) {
    return std::shared_ptr<const Instance>(new Instance{opened->name, state, opened});
  }

  void Close(const Opened& opened) {
    if (!table_->Close(opened.session, CloseReason::kClosedByClient)) return;
    EXPECT_EQ(table_->Find(opened.session->handle()), nullptr);
  }

  std::shared_ptr<Opened> In(size_t slot) {
    MutexLock lock(slots_mutex_);
    return slots_[slot];
  }

  void Update(const std::shared_ptr<Opened>& opened) {
    MutexLock lock(opened->changing);
    const int state = opened->state + 1;
    auto incarnation =
        table_->MakeOrigin("", {.instance = InstanceOf(opened, state), .metadata = {}});
    if (table_->Update(*opened->session, std::move(incarnation)).ok()) opened->state = state;
  }

  void Clear(Opened& opened) {
    MutexLock lock(opened.changing);
    ++opened.clears_begun;
    table_->Clear(opened.session.get(), nullptr);
    ++opened.clears_over;
  }

  // The path of a call: find the session, take its incarnation, look or compute.
  void Call(const Opened& opened, const MemoizedMethod& method, CheckingCaller& caller,
            Control control) {
    const bool shared = method.policy.scope == Scope::kServer;
    caller.name = shared ? 0 : opened.name;
    caller.state = shared ? 0 : opened.state.load();
    caller.clears = shared ? 0 : opened.clears_over.load();
    while (true) {
      const auto session = table_->Find(opened.session->handle());
      const auto incarnation = shared               ? table_->shared()
                               : session == nullptr ? nullptr
                                                    : session->incarnation();
      if (incarnation == nullptr) return caller.OnAnswer({SessionNotFound()});
      const auto result = incarnation->cache->GetOrCompute(
          {.method = method,
           .key = CacheKey(method.id, caller.request),
           .control = control,
           .now = Now(),
           .waiter = &caller,
           .self = incarnation->self,
           .session = shared ? nullptr : session.get()},
          [&](std::shared_ptr<Flight> flight) {
            const void* instance = shared ? nullptr : incarnation->self->instance.get();
            Submit(std::move(flight), static_cast<const Instance*>(instance));
          });
      if (const auto* outcome = std::get_if<Outcome>(&result)) caller.OnAnswer(*outcome);
      if (const auto* flight = std::get_if<std::shared_ptr<Flight>>(&result)) {
        caller.flight = *flight;
      }
      if (!std::holds_alternative<MemoCache::Detached>(result)) break;
    }
    if (control == Control::kNone || control == Control::kNoStore) ++lookups_;
  }

  // What is to be computed waits here until some thread takes it.
  void Submit(std::shared_ptr<Flight> flight, const Instance* instance) {
    std::string answer = AnswerTo(*flight, instance);
    MutexLock lock(work_mutex_);
    work_.emplace_back(std::move(flight), std::move(answer));
  }

  // False: there was nothing to do.
  bool Work(uint32_t random) {
    std::pair<std::shared_ptr<Flight>, std::string> work;
    {
      MutexLock lock(work_mutex_);
      if (work_.empty()) return false;
      work = std::move(work_[random % work_.size()]);
      std::swap(work_[random % work_.size()], work_.back());
      work_.pop_back();
    }
    const auto& [flight, answer] = work;
    flight->Begin(Now());
    if (random % 16 == 0) {
      flight->Complete(absl::InternalError("failed"), Now());
    } else if (random % 16 == 1) {
      flight->Abandon(absl::DeadlineExceededError("too slow"));
    } else if (!flight->cancelled()) {
      flight->Complete(Answer::Copy(flight->key(), answer), Now());
    }
    return true;
  }

  void RunThreads(uint32_t seed) {
    std::vector<std::thread> threads;
    for (uint32_t i = 0; i < kThreads; ++i) {
      threads.emplace_back([this, seed, i] { RunThread(seed * 100 + i); });
    }
    for (auto& thread : threads) thread.join();
    for (const auto& callers : left_) {
      for (const CheckingCaller& caller : callers) EXPECT_EQ(caller.told, 1);
    }
    int64_t counted = 0;
    for (const MemoizedMethod& method : methods_) {
      const CacheInfo total = table_->GetTotals().Info(method);
      counted += total.counters.hits + total.counters.misses;
      EXPECT_GT(total.counters.hits, 0);
    }
    EXPECT_EQ(counted, lookups_);
  }

  // Counters only grow; bounds are exceeded by at most one entry for each storing thread.
  void ReadTotals(std::vector<CacheInfo>& last) {
    for (const MemoizedMethod& method : methods_) {
      const CacheInfo info = table_->GetTotals().Info(method);
      const Counters &now = info.counters, &before = last[method.id].counters;
      EXPECT_GE(now.hits, before.hits);
      EXPECT_GE(now.misses, before.misses);
      EXPECT_GE(now.coalesced, before.coalesced);
      EXPECT_GE(now.computations, before.computations);
      EXPECT_GE(now.errors, before.errors);
      EXPECT_GE(now.evictions, before.evictions);
      EXPECT_GE(now.expirations, before.expirations);
      EXPECT_LE(now.coalesced, now.misses);
      last[method.id] = info;
      const auto& total = method.bounds->total_entries;
      if (total.limit()) EXPECT_LE(total.used(), *total.limit() + kThreads);
    }
    EXPECT_LE(context_.bytes.used(), *context_.bytes.limit() + kThreads * kLargestCharge);
    for (const auto& session : table_->List("", kSlots)) {
      const auto incarnation = session->incarnation();
      if (incarnation == nullptr) continue;
      const CacheInfo info = incarnation->cache->Info(methods_[0]);
      EXPECT_LE(info.currsize, *info.maxsize);
      EXPECT_EQ(info.bytes == 0, info.currsize == 0);
    }
  }

  void TearDown() override {
    table_->CloseAll(CloseReason::kServerStopping);
    table_.reset();
    slots_ = {};
    left_.clear();
    context_.reaper.Drain();
    EXPECT_EQ(opened_, closed_);
    EXPECT_EQ(context_.flights, 0);
    EXPECT_EQ(context_.instances, 0);
    EXPECT_EQ(context_.bytes.used(), 0);
    for (const MemoizedMethod& method : methods_) EXPECT_EQ(method.bounds->total_entries.used(), 0);
  }

  void RunThread(uint32_t seed) {
    std::mt19937 random(seed);
    std::deque<CheckingCaller> callers;
    for (int i = 0; i < OperationsPerThread(); ++i) {
      const auto slot = random() % kSlots;
      const std::shared_ptr<Opened> opened = In(slot);
      const auto what = random() % 100;
      if (what < 2 || opened == nullptr) {
        Open(slot);
      } else if (what < 3) {
        Close(*opened);
      } else if (what < 4) {
        Update(opened);
      } else if (what < 6) {
        Clear(*opened);
      } else if (what < 60) {
        CallSomething(*opened, callers.emplace_back(), random);
      } else if (what < 64 && !callers.empty()) {
        CheckingCaller& caller = callers[random() % callers.size()];
        if (caller.flight != nullptr && caller.flight->Leave(&caller)) caller.told = 1;
      } else {
        Work(random());
      }
      while (!callers.empty() && callers.front().told != 0) callers.pop_front();
    }
    while (Work(random())) {
    }
    MutexLock lock(left_mutex_);
    left_.push_back(std::move(callers));
  }

  void CallSomething(const Opened& opened, CheckingCaller& caller, std::mt19937& random) {
    constexpr Control kControls[] = {Control::kBypass, Control::kRefresh, Control::kNoStore};
    const auto control = random() % 8 == 0 ? kControls[random() % 3] : Control::kNone;
    caller.request = std::to_string(random() % kKeys);
    Call(opened, methods_[random() % methods_.size()], caller, control);
  }

  std::atomic<int64_t> clock_{0};
  CacheContext context_;
  std::deque<MemoizedMethod> methods_;
  std::optional<SessionTable> table_;
  std::atomic<int> names_{0}, opened_{0}, closed_{0};
  std::atomic<int64_t> lookups_{0};

  Mutex slots_mutex_;
  std::array<std::shared_ptr<Opened>, kSlots> slots_;
  Mutex work_mutex_;
  std::vector<std::pair<std::shared_ptr<Flight>, std::string>> work_;
  Mutex left_mutex_;
  std::vector<std::deque<CheckingCaller>> left_;  // callers of threads that are done
};

TEST_F(ThreadsTest, AnswersAreRightAndNothingIsLeft) { RunThreads(1); }

TEST_F(ThreadsTest, TotalsNeverDipAndBoundsHold) {
  std::atomic<bool> done = false;
  std::thread reader([&] {
    for (std::vector<CacheInfo> last(methods_.size()); !done;) ReadTotals(last);
  });
  RunThreads(2);
  done = true;
  reader.join();
}

}  // namespace
}  // namespace memod
