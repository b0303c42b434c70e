// The unit of lifetime: a session is opened, then closed once, for good.
//
// A session stays open as long as anybody holds it, or it is leased; nothing that is remembered for it
// keeps it open. When it is closed its entries are released, its computations cancelled and its
// waiters told, at once. Memory is freed by the reaper.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "memod/cache/lease.h"
#include "memod/cache/memo_cache.h"

namespace memod {

// All that the answers of sessions depend on that share their state, compared in full; and its hash,
// made once.
struct SharedKey {
  explicit SharedKey(std::string b) : bytes(std::move(b)), hash(SecretHash(bytes)) {}
  const std::string bytes;
  const uint64_t hash;

  // For maps by what the keys say; null is not one.
  struct Hash {
    size_t operator()(const std::shared_ptr<const SharedKey>& key) const { return key->hash; }
  };
  struct Eq {
    bool operator()(const std::shared_ptr<const SharedKey>& a,
                    const std::shared_ptr<const SharedKey>& b) const {
      return a == b || (a->hash == b->hash && a->bytes == b->bytes);
    }
  };
};

// What a session runs on, before it has anything to remember.
struct Origin {
  // Type of the state, as in "memo.examples.v1.SlowAdderState"; empty: no instance. A view of what
  // outlives the table.
  std::string_view state_type;
  // Also kept alive by each running computation, as a running method keeps `self`. Wherever its
  // last reference is dropped, it is destroyed on the context's reaper, never on a call's path.
  std::shared_ptr<const Self> self;
  // State scope: sessions with an equal key share what is remembered. Null: it is one session's
  // own.
  std::shared_ptr<const SharedKey> shared_key;
};

// What a session is between two changes of its state, or what all sessions are that have equal
// state, where they share it. Immutable; the cache has its own mutex.
struct Incarnation final : Origin {
  Incarnation(Origin origin, std::shared_ptr<MemoCache> cache)
      : Origin(std::move(origin)), cache(std::move(cache)) {}

  const std::shared_ptr<MemoCache> cache;

 private:
  friend class SessionTable;
  int64_t sessions_ = 0;  // that are on it; guarded by the table's mutex
};

// Why a session was closed. Logged, and told to whoever holds it.
enum class CloseReason {
  kClientGone,
  kLeaseLapsed,
  kClosedByClient,
  kClosedByAdmin,
  kServerStopping
};

// Who holds a session, as a variable holds an instance. Told by whoever ends that, on his thread and
// under no lock; one of both, and once.
class Holder {
 public:
  virtual ~Holder() = default;
  // The session is closed.
  virtual void OnClosed(CloseReason reason) = 0;
  // A newer holder has its name, and holds in its place.
  virtual void OnReplaced() = 0;
};

class SessionTable;

// Text of a length that is known: no allocation of its own, of which there would be a million.
template <size_t kLength>
struct FixedText {
  std::array<char, kLength> text;
  operator std::string_view() const { return {text.data(), kLength}; }
};

// Thread-safe. Its lease is granted and renewed by SessionTable.
class Session final : public Lease, public std::enable_shared_from_this<Session> {
 public:
  using Id = FixedText<10>;
  using Handle = FixedText<43>;

  // By SessionTable::Open alone.
  struct Opening {
    SessionTable& table;
    Mutex& mutex;  // of the table's part
    Id id;
    Handle handle;
    std::shared_ptr<const std::string> peer;
    Time opened_at;
    std::shared_ptr<Incarnation> incarnation;
  };
  explicit Session(Opening opening);

  // Public name, for logs and the admin endpoint. Those of sessions opened later are greater.
  std::string id() const { return std::string(std::string_view(id_)); }
  // A secret: 256 random bits. Never logged.
  std::string handle() const { return std::string(std::string_view(handle_)); }
  const std::string& peer() const { return *peer_; }
  Time opened_at() const { return opened_at_; }
  // Its calls that wait, as those count them who let them in.
  std::atomic<int64_t>& calls_in_flight() { return calls_in_flight_; }

  // Null once closed.
  std::shared_ptr<Incarnation> incarnation() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Those who hold it now.
  int64_t holders() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  friend class SessionTable;
  void OnLapsed() override ABSL_LOCKS_EXCLUDED(mutex_);

  // For good: it is closed, or about to be since its lease is over and nobody else holds it.
  bool Ended() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The part's mutex, which is this, is held.
  void AssertHeld() const ABSL_ASSERT_EXCLUSIVE_LOCK(mutex_) {}

  struct Hold {
    std::string name;
    const Holder* holder;  // which lets go before it dies
    std::weak_ptr<Holder> alive;
  };

  SessionTable& table_;
  Mutex& mutex_;  // that of many sessions: see SessionTable::Part
  const std::shared_ptr<const std::string> peer_;
  const Time opened_at_;
  std::atomic<int64_t> calls_in_flight_{0};
  const Handle handle_;
  const Id id_;
  std::shared_ptr<Incarnation> incarnation_ ABSL_GUARDED_BY(mutex_);  // null once closed
  // Caches of former states, where calls of this session may still wait; each once.
  std::vector<std::weak_ptr<MemoCache>> superseded_ ABSL_GUARDED_BY(mutex_);
  std::vector<Hold> holds_ ABSL_GUARDED_BY(mutex_);
  // What it is closed for when its lease lapses and nobody else holds it. Other than kLeaseLapsed:
  // the lease is the resume window of a stream that was lost, and nobody holds it.
  CloseReason lapse_reason_ ABSL_GUARDED_BY(mutex_) = CloseReason::kLeaseLapsed;
};

// The open sessions, what all sessions share, and the history of those that are closed.
// Thread-safe.
class SessionTable {
 public:
  struct Limits {
    int64_t max_sessions = 100'000;
    // That clients at one address may have open; nullopt: unbounded.
    std::optional<int64_t> max_per_peer = std::nullopt;
    int max_depth = 1000;  // of nested calls
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

  // `holder` holds it, too; in place of one that has the same name, unless that is empty.
  // NOT_FOUND: the session is closed, or over.
  absl::Status Hold(Session& session, std::string name, const std::shared_ptr<Holder>& holder);
  // `holder` holds it no more. When nobody else does, nor a lease, it is closed for that reason, after
  // it has waited `resume_window` for another one, as it does beside a lease that would lapse sooner.
  // Does nothing for who holds it no more.
  void LetGo(const std::shared_ptr<Session>& session, const Holder& holder, CloseReason reason,
             Duration resume_window, Time now) ABSL_LOCKS_EXCLUDED(mutex_);
  // Holds it until that is not renewed for `ttl`. NOT_FOUND: the session is closed, or over.
  absl::Status Lease(Session& session, Duration ttl, Time now);
  // NOT_FOUND: the session is closed, or over. FAILED_PRECONDITION: it is not leased (any more), but held by
  // somebody.
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
  absl::Status RoomLocked(std::string_view address) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // One more, or one less, of this address.
  void CountAddress(const Session& session, int64_t change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // One more session is on what is returned.
  std::shared_ptr<Incarnation> Enter(Origin origin) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // One session less; of the last one, what it held is released.
  Receipt Leave(Incarnation& incarnation) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Guarantee() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // One session more of this peer, and one less.
  std::shared_ptr<const std::string> AddPeer(std::string name)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RemovePeer(const std::string& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // By the ids of methods.
  template <typename T>
  static T& At(std::vector<T>& by_id, const MemoizedMethod& method) {
    if (by_id.size() <= method.id) by_id.resize(method.id + 1);
    return by_id[method.id];
  }
  // The caches of all open sessions, and the one that they share.
  std::vector<std::shared_ptr<MemoCache>> Caches() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

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
  // Whoever opened sessions that are open: his name, once for all of them.
  struct Peer {
    std::shared_ptr<const std::string> name;
    int64_t sessions = 0;
  };
  absl::flat_hash_map<std::string, Peer> peers_ ABSL_GUARDED_BY(mutex_);
  // How many of these there are at each address, if that is bounded.
  std::map<std::string, int64_t, std::less<>> by_address_ ABSL_GUARDED_BY(mutex_);
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
