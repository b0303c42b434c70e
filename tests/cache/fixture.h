// A small world for the tests of cache/: sessions, methods, callers, a clock that only the test
// moves, and computations that only the test ends.
//
//   const auto& m = Method({.max_entries = 2});
//   const auto s = Open("state");
//   Caller& first = Call(s, m, "k");   // computes
//   Caller& second = Call(s, m, "k");  // joins
//   Finish(first, "v");
//   EXPECT_EQ(second.heard(), "coalesced v");
//
// When a test ends, its sessions are closed, and nothing may be left of them: see TearDown.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "gtest/gtest.h"
#include "memod/cache/session_table.h"

namespace memod {

using std::chrono::seconds;

// One call, and what it was told.
class Caller final : public Waiter {
 public:
  void OnAnswer(const Outcome& outcome) override;

  // "hit v", "miss v", "coalesced v", "bypass v"; of an error its memo-error, or else its code:
  // "miss NOT_CACHED". "waits" until there is anything, "left" if it left before.
  const std::string& heard() const { return heard_; }
  // Of what was heard.
  const absl::Status& status() const { return status_; }
  Duration age() const { return age_; }

  // The flight that it started or joined; null: none.
  const std::shared_ptr<Flight>& flight() const { return flight_; }
  // Whether it started that flight.
  bool computes() const { return computes_; }

  // As Flight::Leave.
  bool Leave();

 private:
  friend class CacheTest;
  std::string heard_ = "waits";
  absl::Status status_;
  Duration age_ = Duration::zero();
  std::shared_ptr<Flight> flight_;
  bool computes_ = false;
};

std::string Told(const Outcome& outcome);

// The counters that are not zero and currsize, as in "hits 1, misses 2, computations 2, currsize
// 1".
std::string Counts(const CacheInfo& info);

// What an entry under `request` with `answer` is charged.
int64_t ChargeOf(std::string_view request, std::string_view answer);

class CacheTest : public ::testing::Test {
 protected:
  using SessionPtr = std::shared_ptr<Session>;

  explicit CacheTest(std::optional<int64_t> max_bytes = std::nullopt,
                     const SessionTable::Limits& limits = {}, const CacheLimits& of_caches = {});
  // Sessions, flights, instances, bytes and entries: all back to zero, and everybody was answered.
  void TearDown() override;

  // Policies that name the same cache have to agree in its bounds, which they share.
  const MemoizedMethod& Method(const Policy& policy = {});

  // A session on a new instance that knows `state`.
  SessionPtr Open(std::string state = "");
  // The same, but one of those that share it with every other opened so with an equal state.
  SessionPtr OpenShared(std::string state);
  Receipt Close(const SessionPtr& session);
  Receipt Update(const SessionPtr& session, std::string state);
  Receipt UpdateShared(const SessionPtr& session, std::string state);

  // A nested call goes where its parent runs.
  Caller& Call(const SessionPtr& session, const MemoizedMethod& method, std::string_view request,
               Control control = Control::kNone);
  Caller& CallNested(const Caller& parent, const MemoizedMethod& method, std::string_view request);

  // Ends the computation that `caller` started.
  void Finish(Caller& caller, std::string_view answer);
  void Fail(Caller& caller, absl::StatusCode code = absl::StatusCode::kInternal);

  // Calls, and if that computes, answers with "=<request>". Returns what the caller heard.
  std::string Get(const SessionPtr& session, const MemoizedMethod& method, std::string_view request,
                  Control control = Control::kNone);

  CacheInfo Info(const SessionPtr& session, const MemoizedMethod& method) const;

  // The state that the computation of `caller` runs on.
  static std::string StateOf(const Caller& caller);
  // Instances that are really there, once the reaper has done its work.
  int InstancesAlive();

  void Advance(Duration d) { now_ += d; }

  CacheContext context_;
  std::optional<SessionTable> table_;
  Time now_{seconds(1000)};
  int closed_ = 0;  // sessions
  SessionTable::OnClose on_close_;
  bool begin_at_once_ = true;  // whether computations begin when they are asked for

 private:
  struct Instance;
  Origin MakeOrigin(std::string state, bool shared);
  SessionPtr Open(Origin origin);
  void Start(Caller& caller, MemoCache& cache, const MemoCache::Call& call);

  std::atomic<int> alive_{0};
  std::map<std::string, std::shared_ptr<CacheBounds>> named_;
  std::deque<MemoizedMethod> methods_;
  std::deque<Caller> callers_;
};

}  // namespace memod
