// What a hosted method may ask about the call that it computes.
//
//   absl::StatusOr<FibonacciResponse> Fibonacci(const FibonacciRequest& request,
//                                               memod::CallContext& context) const {
//     ...
//     auto before = context.Call<&SlowAdder::Fibonacci>(smaller);  // memoized, same session
//
// Belongs to one computation and its thread: neither keep it nor share it.
#pragma once

#include <string>
#include <type_traits>

#include "absl/status/statusor.h"
#include "memod/cache/flight.h"
#include "memod/cache/time.h"
#include "memod/server/method_traits.h"

namespace memod {

class Dispatcher;

class CallContext {
 public:
  CallContext(Dispatcher& dispatcher, const Flight& flight)
      : dispatcher_(dispatcher), flight_(flight) {}
  CallContext(const CallContext&) = delete;
  CallContext& operator=(const CallContext&) = delete;

  // Nobody waits for the answer any more, or the compute_timeout is over: it will be discarded, and
  // returning soon (with any status) gives the thread back.
  bool cancelled() const { return flight_.cancelled(); }

  // When the policy's compute_timeout is over.
  Time deadline() const { return flight_.deadline(); }

  // A memoized call on the same session, of another method of the same class or of a registered
  // function. A hit, or else computed on this thread; it never waits for another computation.
  //
  //   NOT_FOUND: this method is not registered.
  //   FAILED_PRECONDITION: the call needs its own answer (memo-error: RECURSION), or the method is
  //     of another class than the session's (SESSION_MISMATCH).
  //   RESOURCE_EXHAUSTED: calls are nested deeper than compute.max_depth (LIMIT).
  //   any other: what the method returned.
  template <auto kMethod>
  absl::StatusOr<typename MethodTraits<kMethod>::Reply> Call(
      const typename MethodTraits<kMethod>::Request& request) {
    absl::StatusOr<Answer::Ref> answer = CallRaw(MethodTag<kMethod>(), request.SerializeAsString());
    if (!answer.ok()) return answer.status();
    typename MethodTraits<kMethod>::Reply reply;
    const std::string_view bytes = (*answer)->bytes();
    if (!reply.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      return absl::InternalError("a remembered answer does not decode");
    }
    return reply;
  }

 private:
  absl::StatusOr<Answer::Ref> CallRaw(const void* tag, const std::string& request);

  Dispatcher& dispatcher_;
  const Flight& flight_;
};

}  // namespace memod
