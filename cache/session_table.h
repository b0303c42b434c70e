// The sessions that are open: opened, held, found and closed here.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "memod/cache/lease.h"
#include "memod/cache/memo_cache.h"
#include "memod/cache/peers.h"
#include "memod/cache/session.h"

namespace memod {

// The open sessions, what all sessions share, and the history of those that are closed.
// Thread-safe.
class SessionTable {
 public:
  struct Limits {
    int64_t max_sessions = 100'000;
    // That clients at one address may have open; nullopt: unbounded.
    std::optional<int64_t> max_per_peer = std::nullopt;
    std::optional<int64_t> max_holders = std::nullopt;  // of one session; nullopt: unbounded
    int max_depth = 1000;                               // of nested calls
    // Of the bytes of all caches: a session that holds no more than this, or than an equal part if
    // that is less, loses nothing to another. (One that holds more may lose a whole entry, and then
    // hold less.)
    int64_t guaranteed_bytes = 0;
  };

  // Called once for each session that is closed, by whoever closes it, under no lock.
  using OnClose = std::function<void(const Session&, CloseReason, const Receipt&)>;

  // `context` outlives the table.
  SessionTable(CacheContext& context, const Limits& limits, OnClose on_close = nullptr);
  // Closes what is open.
  ~SessionTable();

  // RESOURCE_EXHAUSTED: as many sessions are open as may be, in all or of this peer. Before a state
  // is built, to save the work; Open looks again.
  absl::Status CheckRoom(const std::string& peer) const ABSL_LOCKS_EXCLUDED(mutex_);

  // For Open or Update.
  Origin MakeOrigin(std::string_view state_type, Self self,
                    std::shared_ptr<const SharedKey> shared_key = nullptr);
  // That of open sessions with this key; nullopt: there are none.
  std::optional<Origin> FindShared(const std::shared_ptr<const SharedKey>& key) const
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Opens a session on a new incarnation, or on that of sessions with the same shared key. To be
  // held or leased next; until it first is, nothing but Close closes it. `peer` is whom it is opened
  // by, as gRPC says it: "ipv4:10.0.0.1:5000".
  // RESOURCE_EXHAUSTED: as CheckRoom.
  absl::StatusOr<std::shared_ptr<Session>> Open(Origin origin, std::string peer, Time now)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // A holder is about to come, for as long as what is returned is kept. RESOURCE_EXHAUSTED: as many
  // are about to as may hold it.
  absl::StatusOr<std::shared_ptr<Session>> ExpectHolder(const std::shared_ptr<Session>& session);
  // `holder` holds it, too; in place of one that has the same name, unless that is empty.
  // NOT_FOUND: the session is closed, or over. RESOURCE_EXHAUSTED: as many hold it as may, and none of
  // them has this name.
  absl::Status Hold(Session& session, std::string name, const std::shared_ptr<Holder>& holder);
  // `holder` holds it no more. If nobody else does it waits `resume_window` for another one; then, or
  // with its lease if that lapses later, it is closed. Does nothing for who holds it no more.
  void LetGo(const std::shared_ptr<Session>& session, const Holder& holder, CloseReason reason,
             Duration resume_window, Time now) ABSL_LOCKS_EXCLUDED(mutex_);
  // Holds it until that is not renewed for `ttl`. NOT_FOUND: the session is closed, or over.
  absl::Status Lease(Session& session, Duration ttl, Time now);
  // NOT_FOUND: the session is closed, or over. FAILED_PRECONDITION: it has no lease (any more), but is
  // open.
  absl::Status Renew(Session& session, Time now);

  // Swaps the state in, as in Open; what the former one's cache held is released, unless others
  // share it. A shared state that the session has already stays, and so does what is remembered.
  // NOT_FOUND: the session is closed, which it stays.
  absl::StatusOr<Receipt> Update(Session& session, Origin origin) ABSL_LOCKS_EXCLUDED(mutex_);

  // nullopt: it was closed already.
  std::optional<Receipt> Close(const std::shared_ptr<Session>& session, CloseReason reason)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void CloseAll(CloseReason reason) ABSL_LOCKS_EXCLUDED(mutex_);

  Leases& leases() { return leases_; }

  // Null if there is none, or its lease is over and nobody else holds it: also where very many lapse
  // at once, and its own closing is yet to come. The only thing here on a call's path; it shares no
  // lock with the rest.
  std::shared_ptr<Session> Find(std::string_view handle) const;
  std::shared_ptr<Session> FindById(std::string_view id) const ABSL_LOCKS_EXCLUDED(mutex_);
  // At most `count` sessions, those opened first first, after the one with the id `after`.
  std::vector<std::shared_ptr<Session>> List(std::string_view after, size_t count) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  int64_t size() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Those who hold sessions that are open.
  int64_t holders() const { return holders_.load(std::memory_order_relaxed); }

  // Of methods in server scope.
  const std::shared_ptr<Incarnation>& shared() const { return shared_; }

  // cache_info of each method used at all, over all sessions, those closed since included. (Of one
  // session: MemoCache::Info.)
  struct Totals {
    std::vector<CacheInfo> history;   // by the method's id; what counts only grows
    std::vector<Counters> baselines;  // the counters when the method was last cleared as a whole
    // Since it was.
    CacheInfo Info(const MemoizedMethod& method) const;
    CacheInfo History(const MemoizedMethod& method) const;
  };
  Totals GetTotals() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Sessions that are on the incarnation of `session`: 1 unless they share their state; 0: closed.
  int64_t CountSharing(const Session& session) const ABSL_LOCKS_EXCLUDED(mutex_);

  // Drops entries of one method (null: of all) of one session (null: of all, and what they share).
  Receipt Clear(Session* session, const MemoizedMethod* method) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  friend class Session;
  absl::Status RoomLocked(const std::string& peer) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // One more session is on what is returned.
  std::shared_ptr<Incarnation> Enter(Origin origin) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // One session less; of the last one, what it held is released.
  Receipt Leave(Incarnation& incarnation) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Guarantee() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // By the ids of methods.
  template <typename T>
  static T& At(std::vector<T>& by_id, const MemoizedMethod& method) {
    if (by_id.size() <= method.id) by_id.resize(method.id + 1);
    return by_id[method.id];
  }
  // The caches of all open sessions, and the one that they share.
  std::vector<std::shared_ptr<MemoCache>> Caches() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  void EndResumeWindow(Session& session) ABSL_EXCLUSIVE_LOCKS_REQUIRED(session.mutex_);
  std::optional<Receipt> CloseIf(const std::shared_ptr<Session>& session, CloseReason reason,
                                 bool only_unheld) ABSL_LOCKS_EXCLUDED(mutex_);

  CacheContext& context_;
  const Limits limits_;
  const OnClose on_close_;
  const std::shared_ptr<Incarnation> shared_;
  Leases leases_;
  std::atomic<int64_t> holders_{0};  // the sizes of all Session::holds_

  // The sessions by their handles, in parts, so that calls of different sessions do not wait for one
  // another. Its mutex also guards what changes of each session.
  struct ByHandle {
    using is_transparent = void;
    size_t operator()(std::string_view handle) const { return SecretHash(handle); }
    size_t operator()(const Session* session) const { return SecretHash(session->handle_); }
    bool operator()(const Session* a, const Session* b) const { return a == b; }
    bool operator()(const Session* a, std::string_view b) const { return a->handle_ == b; }
  };
  struct alignas(64) Part {
    mutable Mutex mutex;
    // Those in by_id_, which keeps them.
    absl::flat_hash_set<Session*, ByHandle, ByHandle> sessions ABSL_GUARDED_BY(mutex);
  };
  // Any character of a handle will do, they are random; but for the last, which has fewer bits.
  static size_t PartOf(std::string_view handle) {
    return handle.empty() ? 0 : static_cast<unsigned char>(handle.front()) % kParts;
  }
  static constexpr size_t kParts = 64;
  std::array<Part, kParts> parts_;

  // Lock order: mutex_, then a part's, then that of leases_ or a budget's, then a cache's.
  mutable Mutex mutex_;
  struct IdLess {
    using is_transparent = void;
    bool operator()(std::string_view a, std::string_view b) const { return a < b; }
  };
  absl::btree_map<Session::Id, std::shared_ptr<Session>, IdLess> by_id_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_);
  Peers peers_ ABSL_GUARDED_BY(mutex_);
  // Those that sessions share. Weak: the sessions keep them.
  absl::flat_hash_map<std::shared_ptr<const SharedKey>, std::weak_ptr<Incarnation>, SharedKey::Hash,
                      SharedKey::Eq>
      by_shared_key_ ABSL_GUARDED_BY(mutex_);
  // Of closed sessions and former states. A session's counters move here in the very step that
  // takes it off by_id_, so that totals never dip.
  std::vector<Counters> history_ ABSL_GUARDED_BY(mutex_);
  // The counters over all when a method was last cleared as a whole.
  std::vector<Counters> baselines_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace memod
