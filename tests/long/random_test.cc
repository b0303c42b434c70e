// Eight clients open, call, clear, update, lose and resume, and close sessions at random, and check
// each answer against what a model of the session says that it must be.
//
//   MEMOD_SOAK_OPERATIONS=10000000 MEMOD_SOAK_SEED=42 random_test
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "memod/tests/testing/holding.h"
#include "memod/tests/testing/opening.h"
#include "memod/tests/testing/scale.h"
#include "memod/tests/testing/server_test.h"

namespace memod {
namespace {

constexpr int kThreads = 8;
constexpr int kOwn = 4;     // sessions of each thread
constexpr int kCommon = 6;  // sessions of all threads
constexpr int kKeys = 8;    // fewer than any bound, so that nothing is evicted
constexpr int kStates = 50;
constexpr Duration kLong = std::chrono::hours(1);

int64_t FromEnvironment(const char* name, int64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::atoll(value);
}

// A session from its opening to its close, as it must be.
struct Life {
  std::string name;
  std::string handle;
  // Who holds it; neither: a lease.
  std::unique_ptr<Opening> opening;
  std::unique_ptr<Holding> holding;

  // Changes of its state that were asked for, and that are done.
  std::atomic<int> asked = 0, done = 0;
  std::atomic<bool> closing = false, closed = false;

  std::set<std::string> remembered;  // keys; of a session that one thread calls

  std::string State(int version) const { return absl::StrCat(name, ".", version % kStates); }
};

// A place where one session lives after the other.
class Place {
 public:
  explicit Place(std::string name) : name_(std::move(name)) {}

  std::shared_ptr<Life> life() const {
    const std::lock_guard lock(mutex_);
    return life_;
  }
  std::shared_ptr<Life> Begin() {
    auto life = std::make_shared<Life>();
    life->name = name_;
    return life;
  }
  void Put(std::shared_ptr<Life> life) {
    const std::lock_guard lock(mutex_);
    life_ = std::move(life);
  }

  // Held by who changes the session. Calls need not.
  std::mutex changing;

 private:
  const std::string name_;
  mutable std::mutex mutex_;
  std::shared_ptr<Life> life_;
};

class RandomTest : public ServerTest {
 protected:
  using Sessions = memo::v1::SessionService::Stub;

  void ServeForLong() {
    ServeOptions options;
    options.config.session.resume_window = kLong;
    options.config.session.heartbeat_timeout = kLong;
    Serve(options);
    for (int i = 0; i < kCommon; ++i) common_.emplace_back(absl::StrCat("common", i));
  }

  void Wrong(const std::string& what) {
    if (++wrong_ <= 10) ADD_FAILURE() << what;
  }
  void Expect(const std::string& is, const std::string& want, const Life& life) {
    if (is != want) Wrong(absl::StrCat(life.name, ": ", is, "; must be ", want));
  }

  template <typename Request, typename Response>
  Response Tell(grpc::Status (Sessions::*method)(grpc::ClientContext*, const Request&, Response*),
                const Life& life, const Request& request) {
    grpc::ClientContext context;
    context.AddMetadata("memo-session", life.handle);
    Response response;
    const grpc::Status status = ((*sessions).*method)(&context, request, &response);
    if (!status.ok()) Wrong(absl::StrCat(life.name, ": ", status.error_message()));
    return response;
  }

  // Changes; each by one thread at a time.

  void OpenIn(Place& place, bool leased) {
    auto life = place.Begin();
    if (leased) {
      memo::v1::LeaseSessionRequest request;
      request.mutable_state()->PackFrom(State(life->State(0)));
      request.mutable_ttl()->set_seconds(3600);
      life->handle = Tell(&Sessions::LeaseSession, *life, request).handle();
    } else {
      life->opening = std::make_unique<Opening>(*sessions, State(life->State(0)));
      life->handle = life->opening->handle();
    }
    if (life->handle.empty()) Wrong(absl::StrCat(life->name, ": not opened"));
    place.Put(std::move(life));
  }

  // Returns how many entries were released.
  int64_t Clear(Life& life) {
    return Tell(&Sessions::ClearCache, life, memo::v1::ClearCacheRequest()).receipt().entries();
  }

  int64_t Update(Life& life) {
    const int version = ++life.asked;
    memo::v1::UpdateStateRequest request;
    request.mutable_state()->PackFrom(State(life.State(version)));
    const auto response = Tell(&Sessions::UpdateState, life, request);
    life.done = version;
    return response.receipt().entries();
  }

  // Renews a lease; else the stream is lost, and another one takes the session up again.
  void Resume(Life& life) {
    if (life.opening == nullptr && life.holding == nullptr) {
      Tell(&Sessions::RenewSession, life, memo::v1::RenewSessionRequest());
      return;
    }
    life.opening.reset();
    life.holding.reset();
    life.holding = std::make_unique<Holding>(*sessions, life.handle);
    if (!life.holding->Hold()) {
      Wrong(absl::StrCat(life.name, ": not resumed: ", life.holding->Wait().error_message()));
    }
  }

  int64_t Close(Life& life) {
    life.closing = true;
    const auto response = Tell(&Sessions::CloseSession, life, memo::v1::CloseSessionRequest());
    life.closed = true;
    if (life.opening != nullptr && !life.opening->Wait().ok()) Wrong("its stream ended badly");
    if (life.holding != nullptr && !life.holding->Wait().ok()) Wrong("its stream ended badly");
    Expect(Ask(life.handle, Request("k0")).Words(), "NOT_FOUND SESSION_NOT_FOUND", life);
    return response.receipt().entries();
  }

  // Operations

  static std::string Key(std::mt19937_64& random) { return absl::StrCat("k", random() % kKeys); }

  // Nobody else uses the session: how the answer comes is known, and what each change releases.
  void PlayAlone(Place& place, std::mt19937_64& random) {
    Life& life = *place.life();
    const auto releases = [&](int64_t entries) {
      Expect(absl::StrCat(entries), absl::StrCat(life.remembered.size()), life);
      life.remembered.clear();
    };
    const int what = static_cast<int>(random() % 100);
    if (what < 4) {
      releases(Clear(life));
    } else if (what < 8) {
      releases(Update(life));
    } else if (what < 12) {
      Resume(life);
    } else if (what < 16) {
      releases(Close(life));
      OpenIn(place, random() % 2 == 0);
    } else {
      const std::string key = Key(random);
      const bool is_new = life.remembered.insert(key).second;
      Expect(Ask(life.handle, Request(key)).Words(),
             absl::StrCat(is_new ? "miss " : "hit ", life.State(life.done), ":", key), life);
    }
  }

  // Others do so at the same time: an answer is that of a state which the session had meanwhile.
  void PlayTogether(Place& place, std::mt19937_64& random) {
    if (random() % 10 != 0) return CallTogether(*place.life(), Key(random));
    const std::lock_guard lock(place.changing);
    Life& life = *place.life();
    switch (random() % 4) {
      case 0:
        Clear(life);
        break;
      case 1:
        Update(life);
        break;
      case 2:
        Resume(life);
        break;
      case 3:
        Close(life);
        OpenIn(place, random() % 2 == 0);
    }
  }

  void CallTogether(Life& life, const std::string& key) {
    const bool closed = life.closed;
    const int first = life.done;
    const Told told = Ask(life.handle, Request(key));
    const int last = life.asked;
    const bool closing = life.closing;
    const std::string words = told.Words();
    if (!told.status.ok()) {
      const bool gone = words == "NOT_FOUND SESSION_NOT_FOUND" || words == "ABORTED SESSION_CLOSED";
      if (!gone || !closing) Wrong(absl::StrCat(life.name, ": ", words, ", and it is open"));
      return;
    }
    for (int version = first; version <= last && !closed; ++version) {
      if (words.ends_with(absl::StrCat(" ", life.State(version), ":", key))) return;
    }
    Wrong(absl::StrCat(life.name, ": ", words, "; must be of a state from ", life.State(first),
                       " to ", life.State(last), closed ? ", but it is closed" : ""));
  }

  void Play(int thread, int64_t operations, uint64_t seed) {
    std::mt19937_64 random(seed * kThreads + static_cast<uint64_t>(thread));
    std::deque<Place> own;
    for (int i = 0; i < kOwn; ++i) {
      own.emplace_back(absl::StrCat("own", thread, ".", i));
      OpenIn(own.back(), i % 2 == 0);
    }
    for (int64_t i = 0; i < operations; ++i) {
      if (random() % 2 == 0) {
        PlayAlone(own[random() % kOwn], random);
      } else {
        PlayTogether(common_[random() % kCommon], random);
      }
      ++operations_;
    }
    for (Place& place : own) Close(*place.life());
  }

  std::deque<Place> common_;
  std::atomic<int64_t> operations_ = 0, wrong_ = 0;
};

TEST_F(RandomTest, EveryAnswerIsWhatTheModelSays) {
  const int64_t operations = FromEnvironment("MEMOD_SOAK_OPERATIONS", Scaled(100'000));
  const auto seed = static_cast<uint64_t>(FromEnvironment("MEMOD_SOAK_SEED", 1));
  ServeForLong();
  for (Place& place : common_) OpenIn(place, /*leased=*/false);
  const Time begin = Clock::now();
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([=, this] { Play(t, operations / kThreads, seed); });
  }
  for (std::thread& thread : threads) thread.join();
  for (Place& place : common_) Close(*place.life());
  const auto total = AdminInfo("", kCompute).total();
  std::printf(
      "{\"operations\": %ld, \"wrong\": %ld, \"seconds\": %.1f, \"seed\": %lu, \"hits\": %ld, "
      "\"misses\": %ld, \"coalesced\": %ld}\n",
      operations_.load(), wrong_.load(), ToSeconds(Clock::now() - begin), seed, total.hits(),
      total.misses(), total.coalesced());
  EXPECT_EQ(wrong_, 0);
  EXPECT_GT(total.hits(), 0);
}

}  // namespace
}  // namespace memod
