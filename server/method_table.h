// The memoized methods of this server: how each is remembered, and who computes it.
//
// Filled when the server starts, constant and so thread-safe from then on.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
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

struct Method {
  Method(uint32_t id, std::string name, const Policy& policy) : memo(id, std::move(name), policy) {}

  const MemoizedMethod memo;
  ComputeFn compute;
  std::string request_type;
  std::string response_type;
  // Type of the state whose sessions it is called on; empty in server scope.
  std::string state_type;
  // By which a nested call finds a hosted method; null: none can.
  const void* tag = nullptr;
};

class MethodTable {
 public:
  // Reference stays valid. The name is not in the table yet.
  Method& Add(std::string name, const Policy& policy);

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
  absl::flat_hash_map<std::string, const Method*> by_name_;
};

}  // namespace memod
