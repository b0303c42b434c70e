#include "memod/cache/session_table.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "memod/cache/memo_error.h"

namespace memod {
namespace {

constexpr size_t kHandleBytes = 32;
// What is about to be free when a session closes, beside its entries: its own, and each stream's.
constexpr int64_t kSessionBytes = 512;
constexpr int64_t kStreamBytes = 16 << 10;

template <typename Text>
Text Fixed(const std::string& text) {
  Text fixed;
  std::copy_n(text.begin(), std::min(text.size(), fixed.text.size()), fixed.text.begin());
  return fixed;
}

Session::Handle NewHandle() {
  return Fixed<Session::Handle>(absl::WebSafeBase64Escape(RandomBytes(kHandleBytes)));
}

// Ids are counted, so that a table of a million sorts them at no cost. From a number on that no other
// server's are likely to be near, and which leaves as many above it as will ever be opened.
uint64_t RandomFirstId() {
  uint64_t number = 0;
  const std::string bytes = RandomBytes(sizeof(number));
  std::memcpy(&number, bytes.data(), sizeof(number));
  return number % (uint64_t{1} << 39);
}
Session::Id IdOf(uint64_t number) {
  return Fixed<Session::Id>(absl::StrCat(absl::Hex(number, absl::kZeroPad10)));
}

absl::Status TooManyHolders(int64_t holders, const char* they, int64_t limit) {
  return MemoError(absl::StatusCode::kResourceExhausted, memo_error::kLimit,
                   absl::StrCat("too many holders of the session: ", holders, " ", they, ", limit ",
                                limit, " (session.max_holders)"));
}

// Destroyed on the reaper, and counted as long as it is really there.
std::shared_ptr<const Self> OnReaper(CacheContext& context, Self self) {
  struct Counted {
    ~Counted() {
      self.instance.reset();
      context.instances.fetch_sub(1, std::memory_order_relaxed);
    }
    CacheContext& context;
    Self self;
  };
  if (self.instance == nullptr) {
    static const auto empty = std::make_shared<const Self>();  // that of many
    return self.metadata.empty() ? empty : std::make_shared<const Self>(std::move(self));
  }
  context.instances.fetch_add(1, std::memory_order_relaxed);
  std::shared_ptr<Counted> counted(new Counted{context, std::move(self)});
  const Self* pointer = &counted->self;
  return std::shared_ptr<const Self>(pointer,
                                     [&context, counted = std::move(counted)](const Self*) mutable {
                                       context.reaper.Add(std::move(counted));
                                     });
}

}  // namespace

SessionTable::SessionTable(CacheContext& context, const Limits& limits, OnClose on_close)
    : context_(context),
      limits_(limits),
      on_close_(std::move(on_close)),
      shared_(std::make_shared<Incarnation>(
          Origin(), MemoCache::Make(context, limits.max_depth, /*of_session=*/false))),
      next_id_(RandomFirstId()) {}

SessionTable::~SessionTable() {
  CloseAll(CloseReason::kServerStopping);
  shared_->cache->Detach();
  shared_->cache->Abort(nullptr, [] { return absl::UnavailableError("the server is stopping"); });
}

absl::Status SessionTable::CheckRoom(const std::string& peer) const {
  MutexLock lock(mutex_);
  return RoomLocked(peer);
}

absl::Status SessionTable::RoomLocked(const std::string& peer) const {
  const auto refusal = [](const std::string& whose, int64_t open, int64_t limit, const char* key) {
    return MemoError(absl::StatusCode::kResourceExhausted, memo_error::kLimit,
                     absl::StrCat("too many sessions", whose, ": ", open, " are open, limit ",
                                  limit, " (", key, ")"));
  };
  const auto open = static_cast<int64_t>(by_id_.size());
  if (open >= limits_.max_sessions) return refusal("", open, limits_.max_sessions, "session.max");
  if (!limits_.max_per_peer) return absl::OkStatus();
  const int64_t of_peer = peers_.CountAtAddress(peer);
  if (of_peer < *limits_.max_per_peer) return absl::OkStatus();
  return refusal(absl::StrCat(" from ", Peers::AddressOf(peer)), of_peer, *limits_.max_per_peer,
                 "session.max_per_peer");
}

// Incarnations

Origin SessionTable::MakeOrigin(std::string_view state_type, Self self,
                                std::shared_ptr<const SharedKey> shared_key) {
  return {state_type, OnReaper(context_, std::move(self)), std::move(shared_key)};
}

std::optional<Origin> SessionTable::FindShared(const std::shared_ptr<const SharedKey>& key) const {
  MutexLock lock(mutex_);
  const auto it = by_shared_key_.find(key);
  if (it == by_shared_key_.end()) return std::nullopt;
  return *it->second.lock();
}

std::shared_ptr<Incarnation> SessionTable::Enter(Origin origin) {
  std::shared_ptr<Incarnation> incarnation;
  if (origin.shared_key != nullptr) {
    const auto it = by_shared_key_.find(origin.shared_key);
    if (it != by_shared_key_.end()) incarnation = it->second.lock();
  }
  if (incarnation == nullptr) {
    incarnation = std::make_shared<Incarnation>(
        std::move(origin), MemoCache::Make(context_, limits_.max_depth, /*of_session=*/true));
    if (incarnation->shared_key != nullptr) {
      by_shared_key_.emplace(incarnation->shared_key, incarnation);
    }
  }
  ++incarnation->sessions_;
  return incarnation;
}

Receipt SessionTable::Leave(Incarnation& incarnation) {
  if (--incarnation.sessions_ > 0) return {};
  if (incarnation.shared_key != nullptr) by_shared_key_.erase(incarnation.shared_key);
  const MemoCache::Released released = incarnation.cache->Detach();
  for (const auto& [method, info] : released.history) At(history_, *method) += info.counters;
  return released.receipt;
}

int64_t SessionTable::CountSharing(const Session& session) const {
  MutexLock lock(mutex_);
  const std::shared_ptr<Incarnation> incarnation = session.incarnation();
  return incarnation == nullptr ? 0 : incarnation->sessions_;
}

// Sessions

absl::StatusOr<std::shared_ptr<Session>> SessionTable::Open(Origin origin, std::string peer,
                                                            Time now) {
  const Session::Handle handle = NewHandle();
  Part& part = parts_[PartOf(handle)];
  std::shared_ptr<Session> session;
  MutexLock lock(mutex_);
  if (absl::Status room = RoomLocked(peer); !room.ok()) return room;
  const Session::Id id = IdOf(next_id_++);
  session = std::make_shared<Session>(
      Session::Opening{.table = *this,
                       .mutex = part.mutex,
                       .id = id,
                       .handle = handle,
                       .peer = peers_.Add(std::move(peer)),
                       .opened_at = now,
                       // Not moved: what another takes the place of is let go after the lock.
                       .incarnation = Enter(origin)});
  by_id_.emplace(id, session);
  Guarantee();
  // Within the same step: a Close that finds the session must find its handle, too.
  MutexLock part_lock(part.mutex);
  part.sessions.insert(session.get());
  return session;
}

void SessionTable::Guarantee() {
  if (limits_.guaranteed_bytes == 0 || !context_.bytes.limit() || by_id_.empty()) return;
  const int64_t part = *context_.bytes.limit() / static_cast<int64_t>(by_id_.size());
  context_.bytes.Guarantee(std::min(limits_.guaranteed_bytes, part));
}

absl::StatusOr<Receipt> SessionTable::Update(Session& session, Origin origin) {
  std::shared_ptr<Incarnation> former;  // let go after the lock
  MutexLock lock(mutex_);
  {
    MutexLock session_lock(session.mutex_);
    if (session.Ended()) return SessionNotFound();
  }
  // Only here and in Close, under mutex_, the session's incarnation changes.
  std::shared_ptr<Incarnation> next = Enter(origin);
  {
    MutexLock session_lock(session.mutex_);
    former = std::exchange(session.incarnation_, next);
    std::erase_if(session.superseded_, [&](const auto& weak) {
      const auto cache = weak.lock();
      return cache == nullptr || cache == former->cache || cache == next->cache;
    });
    if (former != next) session.superseded_.push_back(former->cache);
  }
  return Leave(*former);
}

absl::StatusOr<std::shared_ptr<Session>> SessionTable::ExpectHolder(
    const std::shared_ptr<Session>& session) {
  const int64_t others = session->expected_holders_.fetch_add(1, std::memory_order_relaxed);
  std::shared_ptr<Session> expecting(session.get(), [session](Session*) {
    session->expected_holders_.fetch_sub(1, std::memory_order_relaxed);
  });
  if (limits_.max_holders && others >= *limits_.max_holders) {
    return TooManyHolders(others, "are about to hold it", *limits_.max_holders);
  }
  return expecting;
}

absl::Status SessionTable::Hold(Session& session, std::string name,
                                const std::shared_ptr<Holder>& holder) {
  std::shared_ptr<Holder> replaced;
  {
    MutexLock lock(session.mutex_);
    if (session.Ended()) return SessionNotFound();
    const auto same = std::find_if(session.holds_.begin(), session.holds_.end(),
                                   [&](const auto& h) { return !name.empty() && h.name == name; });
    const auto holders = static_cast<int64_t>(session.holds_.size());
    if (same == session.holds_.end() && limits_.max_holders && holders >= *limits_.max_holders) {
      return TooManyHolders(holders, "hold it", *limits_.max_holders);
    }
    session.handed_over_ = true;
    EndResumeWindow(session);  // whom it waited for is there
    if (same == session.holds_.end()) {
      session.holds_.push_back({std::move(name), holder.get(), holder});
      holders_.fetch_add(1, std::memory_order_relaxed);
    } else {
      replaced = std::exchange(*same, {std::move(name), holder.get(), holder}).alive.lock();
    }
  }
  if (replaced != nullptr) replaced->OnReplaced();
  return absl::OkStatus();
}

void SessionTable::LetGo(const std::shared_ptr<Session>& session, const Holder& holder,
                         CloseReason reason, Duration resume_window, Time now) {
  {
    MutexLock lock(session->mutex_);
    const size_t held =
        std::erase_if(session->holds_, [&](const auto& hold) { return hold.holder == &holder; });
    if (held == 0 || session->incarnation_ == nullptr) return;
    holders_.fetch_sub(static_cast<int64_t>(held), std::memory_order_relaxed);
    if (resume_window > Duration::zero() && session->holds_.empty()) {
      session->resume_window_ = std::make_shared<Session::ResumeWindow>(session, reason);
      leases_.Grant(session->resume_window_, resume_window, now);
    }
  }
  context_.reaper.Reclaim(kStreamBytes);
  CloseIf(session, reason, /*only_unheld=*/true);
}

void SessionTable::EndResumeWindow(Session& session) {
  if (session.resume_window_ == nullptr) return;
  leases_.Revoke(*session.resume_window_);
  session.resume_window_ = nullptr;
}

absl::Status SessionTable::Lease(Session& session, Duration ttl, Time now) {
  MutexLock lock(session.mutex_);
  if (session.Ended()) return SessionNotFound();
  session.handed_over_ = true;
  leases_.Grant(session.shared_from_this(), ttl, now);
  return absl::OkStatus();
}

absl::Status SessionTable::Renew(Session& session, Time now) {
  // Not under its mutex, for which hits of other sessions would wait. One that is closed has no lease.
  if (leases_.Renew(session, now)) return absl::OkStatus();
  MutexLock lock(session.mutex_);
  if (session.Ended()) return SessionNotFound();
  return absl::FailedPreconditionError(
      "the session has no lease (any more); it is open by a stream, or waits for one");
}

std::optional<Receipt> SessionTable::Close(const std::shared_ptr<Session>& session,
                                           CloseReason reason) {
  return CloseIf(session, reason, /*only_unheld=*/false);
}

std::optional<Receipt> SessionTable::CloseIf(const std::shared_ptr<Session>& session,
                                             CloseReason reason, bool only_unheld) {
  std::shared_ptr<Incarnation> incarnation;
  std::vector<std::weak_ptr<MemoCache>> superseded;
  std::vector<Session::Hold> holds;
  Receipt receipt;
  {
    MutexLock lock(mutex_);
    {
      MutexLock session_lock(session->mutex_);
      if (session->incarnation_ == nullptr) return std::nullopt;
      if (only_unheld && session->Held()) return std::nullopt;
      incarnation.swap(session->incarnation_);
      superseded.swap(session->superseded_);
      holds.swap(session->holds_);
      holders_.fetch_sub(static_cast<int64_t>(holds.size()), std::memory_order_relaxed);
      leases_.Revoke(*session);
      EndResumeWindow(*session);
    }
    receipt = Leave(*incarnation);
    by_id_.erase(session->id_);
    peers_.Remove(session->peer());
    Guarantee();
  }
  {
    Part& part = parts_[PartOf(session->handle_)];
    MutexLock lock(part.mutex);
    part.sessions.erase(session.get());
  }
  incarnation->cache->Abort(session.get(), &SessionClosed);
  for (const auto& weak : superseded) {
    if (const auto cache = weak.lock()) cache->Abort(session.get(), &SessionClosed);
  }
  if (on_close_) on_close_(*session, reason, receipt);
  for (const Session::Hold& hold : holds) {
    if (const auto holder = hold.alive.lock()) holder->OnClosed(reason);
  }
  context_.reaper.Reclaim(kSessionBytes + static_cast<int64_t>(holds.size()) * kStreamBytes);
  return receipt;
}

void SessionTable::CloseAll(CloseReason reason) {
  for (const auto& session : List("", std::numeric_limits<size_t>::max())) Close(session, reason);
}

std::shared_ptr<Session> SessionTable::Find(std::string_view handle) const {
  const Part& part = parts_[PartOf(handle)];
  MutexLock lock(part.mutex);
  const auto it = part.sessions.find(handle);
  if (it == part.sessions.end()) return nullptr;
  (*it)->AssertHeld();
  return (*it)->Ended() ? nullptr : (*it)->shared_from_this();
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

// Over all of them

SessionTable::Totals SessionTable::GetTotals() const {
  // One step fixes which caches there are and what is history; a cache that is closed after it
  // keeps its counters, so none is missed or counted twice.
  Totals totals;
  std::vector<std::shared_ptr<MemoCache>> caches;
  {
    MutexLock lock(mutex_);
    caches = Caches();
    totals.baselines = baselines_;
    for (const Counters& counters : history_) totals.history.emplace_back().counters = counters;
  }
  for (const auto& cache : caches) {
    for (const auto& [method, info] : cache->GetHistory()) At(totals.history, *method) += info;
  }
  return totals;
}

CacheInfo SessionTable::Totals::History(const MemoizedMethod& method) const {
  CacheInfo info = method.id < history.size() ? history[method.id] : CacheInfo{};
  const bool one_cache = method.policy.scope == Scope::kServer;
  info.maxsize = one_cache ? method.policy.max_entries : method.policy.max_entries_total;
  return info;
}

CacheInfo SessionTable::Totals::Info(const MemoizedMethod& method) const {
  CacheInfo info = History(method);
  if (method.id < baselines.size()) info.counters -= baselines[method.id];
  return info;
}

Receipt SessionTable::Clear(Session* session, const MemoizedMethod* method) {
  if (session != nullptr) {
    const auto incarnation = session->incarnation();
    return incarnation == nullptr ? Receipt{} : incarnation->cache->Clear(method).receipt;
  }
  Receipt receipt;
  MutexLock lock(mutex_);
  std::vector<Counters> counters = history_;
  for (const auto& cache : Caches()) {
    const MemoCache::Released released = cache->Clear(method);
    receipt += released.receipt;
    for (const auto& [used, info] : released.history) At(counters, *used) += info.counters;
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
    const auto incarnation = session->incarnation();
    if (incarnation->shared_key == nullptr) caches.push_back(incarnation->cache);
  }
  for (const auto& [key, incarnation] : by_shared_key_) {
    caches.push_back(incarnation.lock()->cache);
  }
  return caches;
}

}  // namespace memod
