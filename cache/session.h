// The unit of lifetime: a session is opened, then closed once, for good.
//
// A session stays open as long as anybody holds it, it is leased, or it waits for whoever lost the
// stream that held it; nothing that is remembered for it keeps it open. When it is closed its entries
// are released, its computations cancelled and its waiters told, at once. Memory is freed by the reaper.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "memod/cache/lease.h"
#include "memod/cache/memo_cache.h"
#include "memod/cache/mutex.h"
#include "memod/cache/time.h"

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
  // Who holds it now.
  struct HeldBy {
    int64_t holders;
    bool lease;
    bool resume_window;  // it waits for a client that lost its stream
  };
  HeldBy held_by() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  friend class SessionTable;
  void OnLapsed() override ABSL_LOCKS_EXCLUDED(mutex_);

  HeldBy HeldByLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Held() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // For good: it is closed, or about to be since nobody holds it any more.
  bool Ended() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The part's mutex, which is this, is held.
  void AssertHeld() const ABSL_ASSERT_EXCLUSIVE_LOCK(mutex_) {}

  struct Hold {
    std::string name;
    const Holder* holder;  // which lets go before it dies
    std::weak_ptr<Holder> alive;
  };
  // The time that the session waits for whoever lost the stream that was the last to hold it.
  struct ResumeWindow final : public Lease {
    ResumeWindow(std::weak_ptr<Session> s, CloseReason r) : session(std::move(s)), reason(r) {}
    void OnLapsed() override;
    const std::weak_ptr<Session> session;
    const CloseReason reason;  // for which the stream let go
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
  // Null, unless the last stream was lost and no other came since.
  std::shared_ptr<ResumeWindow> resume_window_ ABSL_GUARDED_BY(mutex_);
  bool handed_over_ ABSL_GUARDED_BY(mutex_) = false;  // it was held or leased once
  std::atomic<int32_t> expected_holders_{0};
};

}  // namespace memod
