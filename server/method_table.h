// The memoized methods of this server: how each is remembered, and who computes it.
//
// Filled when the server starts, constant and so thread-safe from then on.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "memod/cache/memo_cache.h"
#include "memod/server/compute_timeouts.h"

namespace memod {

// One computation that has to be done: a flight, watched for its compute_timeout. Move-only.
// Dropping it unfinished answers those who wait with INTERNAL.
class Computation {
 public:
  // `timeouts` outlives it.
  Computation(std::shared_ptr<Flight> flight, ComputeTimeouts& timeouts);
  Computation(Computation&&) = default;
  Computation& operator=(Computation&&) = delete;
  ~Computation();

  Flight& flight() const { return *flight_; }
  const std::shared_ptr<Flight>& shared_flight() const { return flight_; }
  // Once.
  void Finish(absl::StatusOr<Answer::Ref> answer);

 private:
  std::shared_ptr<Flight> flight_;  // null once finished or moved from
  ComputeTimeouts* timeouts_;
};

// Begins a computation; returns soon, unless it is a nested one (flight().parent()), which ends
// within the call.
using ComputeFn = std::function<void(Computation)>;

class MessageKey;

struct Method {
  // Whether it is called on sessions with this type of state, "" being none.
  bool RunsOn(std::string_view type) const {
    return memo.policy.scope != Scope::kServer && (any_session || type == state_type);
  }

  const MemoizedMethod memo;
  // Type of the state whose sessions it is called on; empty in server scope, and for any session.
  const std::string state_type;
  bool any_session = false;
  // Names of the metadata that a computation gets: key.metadata and forward.
  const std::vector<std::string> metadata;
  ComputeFn compute;
  std::string request_type;
  std::string response_type;
  std::string upstream = {};  // the name of the one that computes it; empty: it is hosted here
  // How a request reads; null: its message is not known, and the policy does not ask for it.
  std::shared_ptr<const MessageKey> message;
  // Set while an upstream says that its messages are others than `message` knows: keys are bytes
  // then, since fields may mean something else. Null: that cannot be.
  std::shared_ptr<std::atomic<bool>> message_outdated = nullptr;
  // By which a nested call finds a hosted method; null: none can.
  const void* tag = nullptr;
};

class MethodTable {
 public:
  // Reference stays valid. The name is not in the table yet. Those that are called on the same
  // sessions and name the same cache share its bounds, which are those of the first.
  Method& Add(std::string name, const Policy& policy, std::string state_type);

  const Method& at(uint32_t id) const { return methods_[id]; }
  // Null if there is none.
  const Method* Find(std::string_view name) const;

  // Null if there is none.
  const Method* FindTag(const void* tag) const;
  // NOT_FOUND naming `name`.
  absl::StatusOr<const Method*> Get(std::string_view name) const;

  // In the order of their names: all, or those of sessions with this type of state.
  std::vector<const Method*> All() const;
  std::vector<const Method*> OfState(std::string_view state_type) const;

 private:
  std::deque<Method> methods_;  // by id
  // By the type of state and the name of the cache.
  std::map<std::pair<std::string, std::string>, std::shared_ptr<CacheBounds>> caches_;
  absl::flat_hash_map<std::string, const Method*> by_name_;
};

}  // namespace memod
