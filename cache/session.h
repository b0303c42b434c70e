// The unit of lifetime: a session is opened, then closed once, for good.
//
// Nothing in here keeps a session open. Whoever opened it closes it, and with that its entries are
// released, its computations cancelled and its waiters told, at once. Memory is freed by the
// reaper.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "memod/cache/memo_cache.h"

namespace memod {

// What a session is between two changes of its state. Immutable; the cache has its own mutex.
struct Incarnation {
  // `instance` is what hosted methods run on; null: none. Wherever its last reference is dropped,
  // it is destroyed on the context's reaper, never on a call's path.
  static std::shared_ptr<Incarnation> Make(CacheContext& context, int max_depth,
                                           std::string state_type = "",
                                           std::shared_ptr<const void> instance = nullptr);

  // Type of the state, as in "memo.examples.v1.SlowAdderState"; empty: no instance.
  const std::string state_type;
  // Also kept alive by each running computation, as a running method keeps `self`.
  const std::shared_ptr<const void> instance;
  const std::shared_ptr<MemoCache> cache;
};

// Why a session was closed. Logged, and told to whoever holds it.
enum class CloseReason { kClientGone, kClosedByClient, kClosedByAdmin, kServerStopping };

// Thread-safe.
class Session {
 public:
  // Called once, on the thread that closes the session, under no lock.
  using OnClose = std::function<void(const Session&, CloseReason, const Receipt&)>;

  // Public name, for logs and the admin endpoint.
  const std::string& id() const { return id_; }
  // A secret: 256 random bits. Never logged.
  const std::string& handle() const { return handle_; }
  const std::string& peer() const { return peer_; }
  Time opened_at() const { return opened_at_; }

  // Null once closed.
  std::shared_ptr<Incarnation> incarnation() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  friend class SessionTable;
  Session(std::string id, std::string handle, std::string peer, Time opened_at, OnClose on_close,
          std::shared_ptr<Incarnation> incarnation);

  const std::string id_;
  const std::string handle_;
  const std::string peer_;
  const Time opened_at_;
  const OnClose on_close_;

  mutable Mutex mutex_;
  std::shared_ptr<Incarnation> incarnation_ ABSL_GUARDED_BY(mutex_);  // null once closed
  // Caches of former states whose computations may still have waiters.
  std::vector<std::weak_ptr<MemoCache>> superseded_ ABSL_GUARDED_BY(mutex_);
};

// The open sessions, what all sessions share, and the history of those that are closed.
// Thread-safe.
class SessionTable {
 public:
  struct Limits {
    int64_t max_sessions = 100'000;
    int max_depth = 1000;  // of nested calls
  };

  // `context` outlives the table.
  SessionTable(CacheContext& context, const Limits& limits);
  // Closes what is open.
  ~SessionTable();

  // RESOURCE_EXHAUSTED: as many sessions are open as may be. Before a state is built, to save the
  // work; Open looks again.
  absl::Status CheckRoom() const ABSL_LOCKS_EXCLUDED(mutex_);

  // An incarnation for Open or Update.
  std::shared_ptr<Incarnation> Incarnate(std::string state_type,
                                         std::shared_ptr<const void> instance);

  // RESOURCE_EXHAUSTED: as many sessions are open as may be.
  absl::StatusOr<std::shared_ptr<Session>> Open(std::shared_ptr<Incarnation> incarnation,
                                                std::string peer, Time now,
                                                Session::OnClose on_close)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Swaps the state in; what the former one's cache held is released.
  // NOT_FOUND: the session is closed, which it stays.
  absl::StatusOr<Receipt> Update(Session& session, std::shared_ptr<Incarnation> incarnation)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // nullopt: it was closed already.
  std::optional<Receipt> Close(const std::shared_ptr<Session>& session, CloseReason reason)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void CloseAll(CloseReason reason) ABSL_LOCKS_EXCLUDED(mutex_);

  // Null if there is none. The only thing here on a call's path; it shares no lock with the rest.
  std::shared_ptr<Session> Find(std::string_view handle) const ABSL_LOCKS_EXCLUDED(handles_mutex_);
  std::shared_ptr<Session> FindById(std::string_view id) const ABSL_LOCKS_EXCLUDED(mutex_);
  // At most `count` sessions, in the order of their ids, after the id `after`.
  std::vector<std::shared_ptr<Session>> List(std::string_view after, size_t count) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  int64_t size() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Of methods in server scope.
  const std::shared_ptr<Incarnation>& shared() const { return shared_; }

  // cache_info of a method over all sessions, those closed since included: the counters since the
  // method was last cleared as a whole. (Of one session: MemoCache::Info.)
  CacheInfo Info(const MemoizedMethod& method) const ABSL_LOCKS_EXCLUDED(mutex_);

  // Drops entries of one method (null: of all) of one session (null: of all, and what they share).
  Receipt Clear(Session* session, const MemoizedMethod* method) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  absl::Status RoomLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Counters of methods, by their ids.
  using ById = std::vector<Counters>;
  static Counters& At(ById& counters, const MemoizedMethod& method);
  static void Add(ById& to, const MemoCache::Released& released);
  // The caches of all open sessions, and the one that they share.
  std::vector<std::shared_ptr<MemoCache>> Caches() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  CacheContext& context_;
  const Limits limits_;
  const std::shared_ptr<Incarnation> shared_;

  mutable Mutex handles_mutex_;
  struct HandleHash {
    using is_transparent = void;
    size_t operator()(std::string_view handle) const { return SecretHash(handle); }
  };
  struct HandleEq {
    using is_transparent = void;
    bool operator()(std::string_view a, std::string_view b) const { return a == b; }
  };
  absl::flat_hash_map<std::string, std::shared_ptr<Session>, HandleHash, HandleEq> by_handle_
      ABSL_GUARDED_BY(handles_mutex_);

  // Lock order: mutex_, then handles_mutex_ or a session's, then a budget's, then a cache's.
  mutable Mutex mutex_;
  std::map<std::string, std::shared_ptr<Session>, std::less<>> by_id_ ABSL_GUARDED_BY(mutex_);
  // Of closed sessions and former states. A session's counters move here in the very step that
  // takes it off by_id_, so that totals never dip.
  ById history_ ABSL_GUARDED_BY(mutex_);
  // The counters over all when a method was last cleared as a whole.
  ById baselines_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace memod
