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
#include <string_view>
#include <type_traits>
#include <vector>

#include "absl/status/statusor.h"
#include "memod/cache/flight.h"
#include "memod/cache/policy.h"
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

  // What the caller sent under this name, if the method's policy says that it reaches the method:
  // key.metadata, forward. The values in their order; empty: none was sent.
  std::vector<std::string_view> metadata(std::string_view name) const;
  // What was captured when the session was opened, of the names in session.metadata.
  std::vector<std::string_view> session_metadata(std::string_view name) const;

  // Goes out with the answer, and is kept with it, if the policy's answer.metadata lists the name;
  // otherwise it is dropped. With an error none goes out.
  // INVALID_ARGUMENT, and nothing is added: the value is not printable ASCII, which only names that
  // end in -bin may have.
  // RESOURCE_EXHAUSTED, and nothing is added: with it the answer's metadata is more than 4 KiB.
  // (Clients give up the whole connection for 8 KiB by default.)
  absl::Status AddAnswerMetadata(std::string_view name, std::string_view value);

  // For those who run the method.
  const Metadata& answer_metadata() const { return answer_metadata_; }
  KeyMode key_mode() const;
  const CacheKey& key() const { return flight_.key(); }

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
  Metadata answer_metadata_;
};

}  // namespace memod
