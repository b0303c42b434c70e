#include "memod/cache/session.h"

#include <limits>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "memod/cache/memo_error.h"

namespace memod {
namespace {

constexpr size_t kHandleBytes = 32;
constexpr size_t kIdBytes = 5;

std::string NewHandle() { return absl::WebSafeBase64Escape(RandomBytes(kHandleBytes)); }
std::string NewId() { return absl::BytesToHexString(RandomBytes(kIdBytes)); }

absl::Status SessionClosed() {
  return MemoError(absl::StatusCode::kAborted, memo_error::kSessionClosed,
                   "the session was closed while the call waited");
}

// Counts an instance as long as it is really there.
struct CountedInstance {
  ~CountedInstance() {
    instance.reset();
    context.instances.fetch_sub(1, std::memory_order_relaxed);
  }
  CacheContext& context;
  std::shared_ptr<const void> instance;
};

std::shared_ptr<const void> DestroyedOnReaper(CacheContext& context,
                                              std::shared_ptr<const void> instance) {
  if (instance == nullptr) return nullptr;
  context.instances.fetch_add(1, std::memory_order_relaxed);
  const void* pointer = instance.get();
  std::shared_ptr<CountedInstance> counted(new CountedInstance{context, std::move(instance)});
  return std::shared_ptr<const void>(pointer,
                                     [&context, counted = std::move(counted)](const void*) mutable {
                                       context.reaper.Add(std::move(counted));
                                     });
}

}  // namespace

std::shared_ptr<Incarnation> Incarnation::Make(CacheContext& context, int max_depth,
                                               std::string state_type,
                                               std::shared_ptr<const void> instance) {
  return std::shared_ptr<Incarnation>(
      new Incarnation{std::move(state_type), DestroyedOnReaper(context, std::move(instance)),
                      MemoCache::Make(context, max_depth)});
}

Session::Session(std::string id, std::string handle, std::string peer, Time opened_at,
                 OnClose on_close, std::shared_ptr<Incarnation> incarnation)
    : id_(std::move(id)),
      handle_(std::move(handle)),
      peer_(std::move(peer)),
      opened_at_(opened_at),
      on_close_(std::move(on_close)),
      incarnation_(std::move(incarnation)) {}

std::shared_ptr<Incarnation> Session::incarnation() const {
  MutexLock lock(mutex_);
  return incarnation_;
}

SessionTable::SessionTable(CacheContext& context, const Limits& limits)
    : context_(context), limits_(limits), shared_(Incarnation::Make(context, limits.max_depth)) {}

SessionTable::~SessionTable() {
  CloseAll(CloseReason::kServerStopping);
  shared_->cache->Detach();
  shared_->cache->Abort([] { return absl::UnavailableError("the server is stopping"); });
}

absl::Status SessionTable::CheckRoom() const {
  MutexLock lock(mutex_);
  return RoomLocked();
}

absl::Status SessionTable::RoomLocked() const {
  const auto open = static_cast<int64_t>(by_id_.size());
  if (open < limits_.max_sessions) return absl::OkStatus();
  return MemoError(absl::StatusCode::kResourceExhausted, memo_error::kLimit,
                   absl::StrCat("too many sessions: ", open, " are open, limit ",
                                limits_.max_sessions, " (session.max)"));
}

std::shared_ptr<Incarnation> SessionTable::Incarnate(std::string state_type,
                                                     std::shared_ptr<const void> instance) {
  return Incarnation::Make(context_, limits_.max_depth, std::move(state_type), std::move(instance));
}

absl::StatusOr<std::shared_ptr<Session>> SessionTable::Open(
    std::shared_ptr<Incarnation> incarnation, std::string peer, Time now,
    Session::OnClose on_close) {
  std::shared_ptr<Session> session;
  {
    MutexLock lock(mutex_);
    if (absl::Status room = RoomLocked(); !room.ok()) return room;
    std::string id = NewId();
    while (by_id_.contains(id)) id = NewId();
    session.reset(new Session(id, NewHandle(), std::move(peer), now, std::move(on_close),
                              std::move(incarnation)));
    by_id_.emplace(std::move(id), session);
    // Within the same step: a Close that finds the session must find its handle, too.
    MutexLock handles_lock(handles_mutex_);
    by_handle_.emplace(session->handle(), session);
  }
  return session;
}

absl::StatusOr<Receipt> SessionTable::Update(Session& session,
                                             std::shared_ptr<Incarnation> incarnation) {
  MutexLock lock(mutex_);
  {
    MutexLock session_lock(session.mutex_);
    if (session.incarnation_ == nullptr) return SessionNotFound();
    session.incarnation_.swap(incarnation);
    std::erase_if(session.superseded_, [](const auto& cache) { return cache.expired(); });
    session.superseded_.push_back(incarnation->cache);
  }
  const MemoCache::Released released = incarnation->cache->Detach();
  Add(history_, released);
  return released.receipt;
}

std::optional<Receipt> SessionTable::Close(const std::shared_ptr<Session>& session,
                                           CloseReason reason) {
  std::shared_ptr<Incarnation> incarnation;
  std::vector<std::weak_ptr<MemoCache>> superseded;
  MemoCache::Released released;
  {
    MutexLock lock(mutex_);
    {
      MutexLock session_lock(session->mutex_);
      if (session->incarnation_ == nullptr) return std::nullopt;
      incarnation.swap(session->incarnation_);
      superseded.swap(session->superseded_);
    }
    released = incarnation->cache->Detach();
    by_id_.erase(session->id());
    Add(history_, released);
  }
  {
    MutexLock lock(handles_mutex_);
    by_handle_.erase(session->handle());
  }
  incarnation->cache->Abort(&SessionClosed);
  for (const auto& weak : superseded) {
    if (const auto cache = weak.lock()) cache->Abort(&SessionClosed);
  }
  session->on_close_(*session, reason, released.receipt);
  return released.receipt;
}

void SessionTable::CloseAll(CloseReason reason) {
  for (const auto& session : List("", std::numeric_limits<size_t>::max())) Close(session, reason);
}

std::shared_ptr<Session> SessionTable::Find(std::string_view handle) const {
  MutexLock lock(handles_mutex_);
  const auto it = by_handle_.find(handle);
  return it == by_handle_.end() ? nullptr : it->second;
}

std::shared_ptr<Session> SessionTable::FindById(std::string_view id) const {
  MutexLock lock(mutex_);
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : it->second;
}

std::vector<std::shared_ptr<Session>> SessionTable::List(std::string_view after,
                                                         size_t count) const {
  std::vector<std::shared_ptr<Session>> sessions;
  MutexLock lock(mutex_);
  for (auto it = by_id_.upper_bound(after); it != by_id_.end() && sessions.size() < count; ++it) {
    sessions.push_back(it->second);
  }
  return sessions;
}

int64_t SessionTable::size() const {
  MutexLock lock(mutex_);
  return static_cast<int64_t>(by_id_.size());
}

CacheInfo SessionTable::Info(const MemoizedMethod& method) const {
  // One step fixes which caches there are and what is history; a cache that is closed after it
  // keeps its counters, so none is missed or counted twice.
  CacheInfo info;
  std::vector<std::shared_ptr<MemoCache>> caches;
  {
    MutexLock lock(mutex_);
    caches = Caches();
    if (method.id < history_.size()) info.counters += history_[method.id];
    if (method.id < baselines_.size()) info.counters -= baselines_[method.id];
  }
  for (const auto& cache : caches) {
    const CacheInfo part = cache->History(method);
    info.counters += part.counters;
    info.currsize += part.currsize;
    info.bytes += part.bytes;
  }
  const bool one_cache = method.policy.scope == Scope::kServer;
  info.maxsize = one_cache ? method.policy.max_entries : method.policy.max_entries_total;
  return info;
}

Receipt SessionTable::Clear(Session* session, const MemoizedMethod* method) {
  if (session != nullptr) {
    const auto incarnation = session->incarnation();
    return incarnation == nullptr ? Receipt{} : incarnation->cache->Clear(method).receipt;
  }
  Receipt receipt;
  MutexLock lock(mutex_);
  ById counters = history_;
  for (const auto& cache : Caches()) {
    const MemoCache::Released released = cache->Clear(method);
    Add(counters, released);
    receipt += released.receipt;
  }
  if (method == nullptr) {
    baselines_ = std::move(counters);
  } else {
    At(baselines_, *method) = At(counters, *method);
  }
  return receipt;
}

std::vector<std::shared_ptr<MemoCache>> SessionTable::Caches() const {
  std::vector<std::shared_ptr<MemoCache>> caches = {shared_->cache};
  caches.reserve(by_id_.size() + 1);
  for (const auto& [id, session] : by_id_) {
    if (const auto incarnation = session->incarnation()) caches.push_back(incarnation->cache);
  }
  return caches;
}

Counters& SessionTable::At(ById& counters, const MemoizedMethod& method) {
  if (counters.size() <= method.id) counters.resize(method.id + 1);
  return counters[method.id];
}

void SessionTable::Add(ById& to, const MemoCache::Released& released) {
  for (const auto& [method, counters] : released.methods) At(to, *method) += counters;
}

}  // namespace memod
