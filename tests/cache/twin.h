// cache/ and its model side by side: every verb does the same to both, and expects that callers
// hear the same. Reports through gtest; a test stops when HasFailure().
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "memod/cache/session_table.h"
#include "memod/tests/cache/model.h"

namespace memod {

class Twin {
 public:
  // Time goes by in units of which any number is exact in seconds, also as a float.
  static constexpr Duration kTick = std::chrono::nanoseconds(1'953'125);  // 1/512 s

  struct Bounds {
    std::optional<int64_t> max_bytes;
    int64_t guaranteed_bytes;
    int max_depth;
  };
  // Methods that name the same cache have equal bounds.
  Twin(const Bounds& bounds, const std::vector<Policy>& methods);
  // Closes everything, and expects that nothing is left.
  ~Twin();

  // A computation that has not returned yet.
  struct Computation {
    int starter;  // the caller that started it
    std::shared_ptr<Flight> flight;
    Model::FlightPtr model;
    std::shared_ptr<Flight> parent;
    bool begun = false;
  };

  // Sessions are named by their place among the open ones.
  int sessions() const { return static_cast<int>(sessions_.size()); }
  // With a state: shared by all sessions with an equal one.
  void Open(const std::optional<std::string>& state);
  void Close(int session);
  void Update(int session, const std::optional<std::string>& state);
  // Of a method in server scope any session will do.
  void Forget(int session, int method, const std::string& key);
  void Clear(std::optional<int> session, std::optional<int> method);

  // Methods in server scope need no session. Returns the caller.
  int Call(int session, int method, const std::string& key, Control control);
  int CallNested(const Computation& parent, int method, const std::string& key);

  const std::vector<Computation>& computations() const { return computations_; }
  // It, or one that runs within it and has none within itself: the one that can return next.
  size_t Innermost(size_t computation) const;
  bool Begin(size_t computation);
  void Complete(size_t computation, const std::string& answer);
  void Fail(size_t computation, absl::StatusCode code);
  void Abandon(size_t computation);
  void ExpectSameCancelled(size_t computation);

  // Those who wait.
  std::vector<int> waiting() const;
  void Leave(int caller);

  void Advance(Duration d) { now_ += d; }
  // used() of every budget, and what callers heard: after every verb.
  void ExpectSame();
  // All cache_infos.
  void ExpectSameInfos();

 private:
  struct TwinCaller final : Waiter {
    TwinCaller(int id, Model::Log& log) : id(id), log(log) {}
    void OnAnswer(const Outcome& outcome) override { log.emplace_back(id, Told(outcome)); }
    const int id;
    Model::Log& log;
    std::shared_ptr<Flight> flight;
    Model::FlightPtr model;
  };
  struct Pair {
    std::shared_ptr<Session> session;
    Model::Session model;
  };
  static std::string Told(const Outcome& outcome);

  Origin MakeOrigin(const std::optional<std::string>& state);
  int Start(MemoCache& cache, const std::shared_ptr<const Self>& self, const Session* session,
            const Computation* parent, Model::Call call);
  void Return(size_t computation);

  CacheContext context_;
  std::deque<MemoizedMethod> methods_;
  std::optional<SessionTable> table_;
  Model model_;
  Time now_{std::chrono::seconds(1)};

  Model::Log heard_;
  int next_caller_ = 0;
  std::map<int, TwinCaller> waiting_;
  std::vector<std::unique_ptr<Pair>> sessions_;
  std::vector<Computation> computations_;
};

}  // namespace memod
