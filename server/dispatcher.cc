#include "memod/server/dispatcher.h"

#include <semaphore>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memod/cache/memo_error.h"

namespace memod {
namespace {

absl::Status SessionRequired(const Method& method) {
  return MemoError(absl::StatusCode::kFailedPrecondition, memo_error::kSessionRequired,
                   absl::StrCat(method.memo.name,
                                " needs a session: send the metadata memo-session with the handle "
                                "that SessionService.OpenSession gave"));
}

absl::Status SessionMismatch(const Method& method, std::string_view state_type) {
  const std::string has =
      state_type.empty() ? "no state" : absl::StrCat("a ", std::string(state_type));
  return MemoError(absl::StatusCode::kFailedPrecondition, memo_error::kSessionMismatch,
                   absl::StrCat(method.memo.name, " needs a session opened with a ",
                                method.state_type, "; this one has ", has));
}

// The caller of a nested call, which computes on the caller's own thread. It waits longer than that
// only when somebody else (a close, a timeout) is answering it at this moment.
class NestedCaller final : public Waiter {
 public:
  void OnAnswer(const Outcome& outcome) override {
    answer_ = outcome.answer;
    answered_.release();
  }
  absl::StatusOr<Answer::Ref> Take() {
    answered_.acquire();
    return std::move(answer_);
  }

 private:
  std::binary_semaphore answered_{0};
  absl::StatusOr<Answer::Ref> answer_ = absl::InternalError("not answered");
};

}  // namespace

Dispatcher::Answered Dispatcher::Call(const Request& request, Waiter& waiter,
                                      Admission::Place& place) {
  const CallKey key(request.method, request.bytes, request.metadata);
  while (true) {
    const auto target = Resolve(request);
    if (!target.ok()) return Outcome{target.status()};
    auto full = Admission::Full::kNone;
    const auto may_wait = [&] {
      full = admission_.TryEnter(target->caller, place);
      return full == Admission::Full::kNone;
    };
    MemoCache::Result result = GetOrCompute(*target->incarnation->cache,
                                            {.method = request.method.memo,
                                             .key = key.key(),
                                             .control = request.control,
                                             .now = Clock::now(),
                                             .waiter = &waiter,
                                             .self = target->incarnation->self,
                                             .session = target->session(),
                                             .request = key.request(),
                                             .metadata = &key.metadata(),
                                             .may_wait = may_wait},
                                            request.method);
    if (auto* outcome = std::get_if<Outcome>(&result)) return std::move(*outcome);
    // Detached between the two steps: the session has a new incarnation, or is closed.
    if (std::holds_alternative<MemoCache::Detached>(result)) continue;
    if (std::holds_alternative<MemoCache::Refused>(result)) return Outcome{admission_.Refuse(full)};
    auto flight = std::get<std::shared_ptr<Flight>>(std::move(result));
    // Closed between the two steps, while others keep the incarnation: nobody will end this wait.
    const Session* session = target->session();
    const bool closed = session != nullptr && session->incarnation() == nullptr;
    if (closed && flight->Leave(&waiter)) return Outcome{SessionClosed()};
    return flight;
  }
}

void Dispatcher::FindHits(std::optional<std::string_view> handle,
                          std::span<const MemoCache::Sought> sought, MemoCache::Tell tell) const {
  std::shared_ptr<Incarnation> own;
  if (handle) {
    const std::shared_ptr<Session> session = sessions_.Find(*handle);
    own = session == nullptr ? nullptr : session->incarnation();
    if (own == nullptr) return;
  }
  const auto cache_of = [&](const MemoizedMethod* memo) -> MemoCache* {
    if (memo->policy.scope == Scope::kServer) return sessions_.shared()->cache.get();
    const bool runs = own != nullptr && methods_.at(memo->id).RunsOn(own->state_type);
    return runs ? own->cache.get() : nullptr;
  };
  const Time now = Clock::now();
  bool enough = false;
  // Those that follow one another in the same memory go there together.
  for (size_t begin = 0, end = 0; begin < sought.size() && !enough; begin = end) {
    MemoCache* cache = cache_of(sought[begin].method);
    while (++end < sought.size() && (sought[end].method == sought[end - 1].method ||
                                     cache_of(sought[end].method) == cache)) {
    }
    if (cache == nullptr) continue;
    cache->FindHits(sought.subspan(begin, end - begin), now, [&](size_t i, const auto& found) {
      enough = !tell(begin + i, found);
      return !enough;
    });
  }
}

absl::StatusOr<Answer::Ref> Dispatcher::CallNested(const Flight& parent, const Method& method,
                                                   std::string_view bytes) {
  const bool shared = method.memo.policy.scope == Scope::kServer;
  const Method& caller = methods_.at(parent.method().id);
  if (!shared && caller.state_type != method.state_type) {
    return SessionMismatch(method, caller.state_type);
  }
  // It knows of the metadata what its caller knows.
  const CallKey key(method, bytes, [&](const std::vector<std::string>& names) {
    return Select(parent.metadata(), names);
  });
  NestedCaller waiter;
  MemoCache::Result result =
      GetOrCompute(shared ? *sessions_.shared()->cache : parent.cache(),
                   {.method = method.memo,
                    .key = key.key(),
                    .control = Control::kNone,
                    .now = Clock::now(),
                    .waiter = &waiter,
                    .self = shared ? sessions_.shared()->self : parent.self(),
                    .parent = &parent,
                    .request = key.request(),
                    .metadata = &key.metadata()},
                   method);
  if (auto* outcome = std::get_if<Outcome>(&result)) return std::move(outcome->answer);
  return waiter.Take();
}

absl::StatusOr<Dispatcher::Target> Dispatcher::Resolve(const Request& request) const {
  const bool shared = request.method.memo.policy.scope == Scope::kServer;
  if (!request.handle) {
    if (shared) return Target{sessions_.shared(), nullptr, shared};
    return SessionRequired(request.method);
  }
  std::shared_ptr<Session> session = sessions_.Find(*request.handle);
  std::shared_ptr<Incarnation> incarnation = session == nullptr ? nullptr : session->incarnation();
  if (incarnation == nullptr) return SessionNotFound();
  if (shared) return Target{sessions_.shared(), std::move(session), shared};
  if (!request.method.RunsOn(incarnation->state_type)) {
    return SessionMismatch(request.method, incarnation->state_type);
  }
  return Target{std::move(incarnation), std::move(session), shared};
}

MemoCache::Result Dispatcher::GetOrCompute(MemoCache& cache, const MemoCache::Call& call,
                                           const Method& method) {
  return cache.GetOrCompute(call, [&](std::shared_ptr<Flight> flight) {
    method.compute(Computation(std::move(flight), timeouts_));
  });
}

}  // namespace memod
