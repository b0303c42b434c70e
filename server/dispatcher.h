// The path of a memoized call: session -> key -> memory, or a computation.
//
//   front door (handle, method, request bytes)
//     -> Call: find the session, take its incarnation -> make the key -> MemoCache::GetOrCompute:
//        hit | join a flight | start one -> the method's ComputeFn
//     -> the waiter is told, and answers the client
//
// Thread-safe; keeps nothing of a call. It knows neither gRPC nor who computes.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

#include "memod/cache/session_table.h"
#include "memod/server/admission.h"
#include "memod/server/call_key.h"
#include "memod/server/method_table.h"

namespace memod {

class Dispatcher {
 public:
  // All outlive the dispatcher.
  Dispatcher(SessionTable& sessions, const MethodTable& methods, ComputeTimeouts& timeouts,
             Admission& admission)
      : sessions_(sessions), methods_(methods), timeouts_(timeouts), admission_(admission) {}

  struct Request {
    const Method& method;
    std::optional<std::string_view> handle;  // `memo-session`; nullopt: none was sent
    Control control = Control::kNone;
    // Valid during Call.
    std::string_view bytes;
    MetadataReader metadata;
  };

  // An outcome: answered at once. A flight: `waiter` is told, or was; Flight::Leave to go before.
  // `place` is filled before that, and stays the waiter's. Errors of its own:
  //   RESOURCE_EXHAUSTED: it would have to wait, and as many calls do as may (LIMIT).
  //   FAILED_PRECONDITION: the method needs a session and no handle was sent (SESSION_REQUIRED), or
  //     the session has no instance of the method's class (SESSION_MISMATCH).
  //   NOT_FOUND: no such session (SESSION_NOT_FOUND).
  // and those of MemoCache and the method's ComputeFn.
  using Answered = std::variant<Outcome, std::shared_ptr<Flight>>;
  Answered Call(const Request& request, Waiter& waiter, Admission::Place& place);

  // Finds what is in memory of many lookups at once, of one session (nullopt: of none): see
  // MemoCache::FindHits. What is not found, Call is to be asked for, which also says why.
  void FindHits(std::optional<std::string_view> handle, std::span<const MemoCache::Sought> sought,
                MemoCache::Tell tell) const;

  // A call that `parent`'s computation makes on its own session, as `method` of the same class or
  // in server scope. Computes on this thread unless it is a hit.
  absl::StatusOr<Answer::Ref> CallNested(const Flight& parent, const Method& method,
                                         std::string_view bytes);

  const MethodTable& methods() const { return methods_; }

 private:
  // Where a call goes.
  struct Target {
    std::shared_ptr<Incarnation> incarnation;
    std::shared_ptr<Session> caller;  // null: a call without a session
    bool shared;                      // what it computes is nobody's
    Session* session() const { return shared ? nullptr : caller.get(); }
  };
  absl::StatusOr<Target> Resolve(const Request& request) const;
  MemoCache::Result GetOrCompute(MemoCache& cache, const MemoCache::Call& call,
                                 const Method& method);

  SessionTable& sessions_;
  const MethodTable& methods_;
  ComputeTimeouts& timeouts_;
  Admission& admission_;
};

}  // namespace memod
