// What a hit costs among 100,000 open sessions that hold 10 million entries, beside one where there
// is but one session: the same 10,000 answers asked for in the same order, in this process, from the
// session's handle on. The 10,000 are all that 100 of the sessions hold, or one of each of 10,000.
//
// Says on standard error what a session takes that has been opened and not used.
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "memod/cache/session_table.h"
#include "runner.h"

namespace memod::benchmark {
namespace {

using Steady = std::chrono::steady_clock;

constexpr int kSessions = 100'000;
constexpr int kEntries = 100;  // of each
constexpr int kHot = 10'000;
constexpr size_t kKeyBytes = 16;
constexpr size_t kAnswerBytes = 64;

std::string Key(int i) {
  std::string key(kKeyBytes, 'k');
  std::memcpy(key.data(), &i, sizeof(i));
  return key;
}

struct Nobody final : Waiter {
  void OnAnswer(const Outcome&) override {}
};

class World {
 public:
  explicit World(int sessions) {
    const size_t before = mallinfo2().uordblks;
    for (int i = 0; i < sessions; ++i) {
      auto session = table_.Open(table_.MakeOrigin("", {}), "peer", now_);
      if (!session.ok()) std::abort();
      handles_.push_back((*session)->handle());
    }
    bytes_per_session_ = (mallinfo2().uordblks - before) / static_cast<size_t>(sessions);
  }

  size_t bytes_per_session() const { return bytes_per_session_; }

  // Calls of this session and this key, in an order that no prefetcher knows, are the hot ones.
  void SetHot(std::vector<std::pair<int, int>> calls) {
    std::shuffle(calls.begin(), calls.end(), std::mt19937(1));
    hot_.clear();
    for (const auto& [session, key] : calls) hot_.push_back({handles_.at(session), Key(key)});
  }
  void Store(int session, int key) { Call(handles_.at(session), Key(key)); }

  double NanosPerHit(double seconds) {
    const auto begin = Steady::now();
    const std::chrono::duration<double> wanted(seconds);
    int64_t hits = 0;
    auto now = begin;
    for (; now - begin < wanted; now = Steady::now()) {
      for (const auto& [handle, key] : hot_) {
        if (!Call(handle, key)) std::abort();
      }
      hits += static_cast<int64_t>(hot_.size());
    }
    return std::chrono::duration<double, std::nano>(now - begin).count() /
           static_cast<double>(hits);
  }

 private:
  // Whether it was a hit.
  bool Call(std::string_view handle, std::string_view key) {
    const std::shared_ptr<Incarnation> incarnation = table_.Find(handle)->incarnation();
    const auto compute = [this](std::shared_ptr<Flight> flight) {
      const auto write = [](char* to) { std::memset(to, 'v', kAnswerBytes); };
      flight->Complete(Answer::Make(flight->key(), kAnswerBytes, write), now_);
    };
    const MemoCache::Result result = incarnation->cache->GetOrCompute({.method = method_,
                                                                       .key = CacheKey(0, key),
                                                                       .control = Control::kNone,
                                                                       .now = now_,
                                                                       .waiter = &waiter_,
                                                                       .self = incarnation->self},
                                                                      compute);
    return std::holds_alternative<Outcome>(result);
  }

  const Time now_ = Clock::now();
  Nobody waiter_;
  const MemoizedMethod method_{0, "/benchmark/Method", {.max_entries = std::nullopt}};
  CacheContext context_{std::nullopt};
  SessionTable table_{context_, {.max_sessions = kSessions}};
  std::vector<std::string> handles_;
  std::vector<std::pair<std::string, std::string>> hot_;
  size_t bytes_per_session_ = 0;
};

void Compare(const Options& options, std::string_view figure, World& many, World& one) {
  for (int round = 0; round < options.rounds; ++round) {
    const double ours = many.NanosPerHit(options.seconds);
    PrintPair("lookup", figure, ours, one.NanosPerHit(options.seconds), "one session");
  }
}

void Measure(const Options& options) {
  World one(1), many(kSessions);
  std::fprintf(stderr, "%zu bytes for a session that is idle\n", many.bytes_per_session());
  std::vector<std::pair<int, int>> of_one, of_hundred, of_each;
  for (int i = 0; i < kHot; ++i) {
    one.Store(0, i);
    of_one.emplace_back(0, i);
    of_hundred.emplace_back(i / kEntries * (kSessions / (kHot / kEntries)), i % kEntries);
    of_each.emplace_back(i * (kSessions / kHot), i % kEntries);
  }
  // As sessions fill: side by side.
  for (int key = 0; key < kEntries; ++key) {
    for (int session = 0; session < kSessions; ++session) many.Store(session, key);
  }
  one.SetHot(of_one);
  many.SetHot(of_hundred);
  Compare(options, "ns/hit, 100 hot sessions of 100,000", many, one);
  many.SetHot(of_each);
  Compare(options, "ns/hit, 10,000 hot sessions of 100,000", many, one);
}

}  // namespace
}  // namespace memod::benchmark

int main(int argc, char** argv) {
  using namespace memod::benchmark;
  const Options options = ParseOptions(argc, argv);
  PinTo(options.server_cpu);
  Measure(options);
}
