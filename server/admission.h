// Which calls are let in: how many may be in flight at once, in all and of one session; with how much
// metadata, which CheckMetadata looks at; and none at all when memory is short.
//
// A call that is answered from memory at once takes no place: what is counted are those that wait for
// a computation, of a pipeline each by itself, and those that pass to an upstream. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "memod/cache/session.h"
#include "memod/server/memory_pressure.h"

namespace memod {

class Admission {
 public:
  // nullopt: unbounded.
  struct Limits {
    std::optional<int64_t> max_calls;          // server.max_calls
    std::optional<int64_t> max_session_calls;  // session.max_calls
    int64_t max_metadata_bytes;                // server.max_metadata_bytes
  };
  // `memory` outlives it.
  Admission(const MemoryPressure& memory, const Limits& limits)
      : memory_(memory), limits_(limits) {}

  // Of every call, before anything is done for it. RESOURCE_EXHAUSTED: there is no memory for calls
  // (memo-error: LIMIT).
  absl::Status Check() const { return memory_.Check(MemoryPressure::Step::kNoCalls); }

  // What Check says, without the words.
  bool open() const { return memory_.step() < MemoryPressure::Step::kNoCalls; }

  // A call's place among those in flight, given back when it is destroyed or assigned. To be given
  // back before the caller is answered, so that his next call finds it free.
  class Place {
   public:
    Place() = default;
    Place(Place&& other) noexcept { *this = std::move(other); }
    Place& operator=(Place&& other) noexcept;
    ~Place() { GiveBack(); }

   private:
    friend class Admission;
    Place(Admission& admission, std::shared_ptr<Session> session)
        : admission_(&admission), session_(std::move(session)) {}
    void GiveBack();

    Admission* admission_ = nullptr;  // null: it is none
    std::shared_ptr<Session> session_;
  };

  // For a call that is not answered at once; `session` null: of none.
  // RESOURCE_EXHAUSTED: as many calls are in flight as may be (memo-error: LIMIT).
  absl::StatusOr<Place> Enter(std::shared_ptr<Session> session);

  // The same in two steps, for who is under a lock: the words come after it.
  enum class Full { kNone, kServer, kSession };
  // kNone: `place` is filled.
  Full TryEnter(std::shared_ptr<Session> session, Place& place);
  absl::Status Refuse(Full full) const;

  int64_t max_metadata_bytes() const { return limits_.max_metadata_bytes; }
  int64_t in_flight() const { return in_flight_.load(std::memory_order_relaxed); }

 private:
  const MemoryPressure& memory_;
  const Limits limits_;
  std::atomic<int64_t> in_flight_{0};
};

}  // namespace memod
