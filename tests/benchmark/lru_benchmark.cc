// What a hit costs in a MemoCache, with its lock, beside one in LevelDB's LRU cache: both in this
// process, on one thread, with the same keys in the same order. Row 6; row 7's figure of memod.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "leveldb/cache.h"
#include "memod/cache/memo_cache.h"
#include "runner.h"

namespace memod::benchmark {
namespace {

using Steady = std::chrono::steady_clock;

constexpr size_t kAnswerBytes = 64;

// n keys of 16 bytes, one behind the other in the order in which they are asked for.
class Keys {
 public:
  explicit Keys(int n) : order_(n), keys_(n) {
    std::iota(order_.begin(), order_.end(), 0);
    std::shuffle(order_.begin(), order_.end(), std::mt19937_64(1));
    for (int i = 0; i < n; ++i) {
      std::snprintf(keys_[i].data(), keys_[i].size(), "%016d", order_[i]);
    }
  }

  int size() const { return static_cast<int>(keys_.size()); }
  std::string_view operator[](int i) const { return {keys_[i].data(), 16}; }

  // In another order, so that what is stored does not lie in memory as it is asked for.
  template <typename Store>
  void ForEachShuffled(const Store& store) const {
    std::vector<int> by_number(order_.size());
    for (int i = 0; i < size(); ++i) by_number[order_[i]] = i;
    for (int i : by_number) store((*this)[i]);
  }

 private:
  std::vector<int> order_;
  std::vector<std::array<char, 17>> keys_;
};

[[noreturn]] void Fail(const char* what) {
  std::fprintf(stderr, "lru_benchmark: %s\n", what);
  std::exit(1);
}

class LevelDb {
 public:
  // Room for all: LevelDB divides it among shards, and a shard may get more keys than its part.
  explicit LevelDb(const Keys& keys) : cache_(leveldb::NewLRUCache(2 * keys.size() + 1024)) {
    keys.ForEachShuffled([&](std::string_view key) {
      auto* answer = new std::string(kAnswerBytes, 'v');
      cache_->Release(cache_->Insert({key.data(), key.size()}, answer, 1, &Delete));
    });
  }

  void Hit(std::string_view key) {
    leveldb::Cache::Handle* handle = cache_->Lookup({key.data(), key.size()});
    if (handle == nullptr) Fail("a miss in LevelDB's cache");
    cache_->Release(handle);
  }

 private:
  static void Delete(const leveldb::Slice&, void* answer) {
    delete static_cast<std::string*>(answer);
  }

  const std::unique_ptr<leveldb::Cache> cache_;
};

struct Nobody final : Waiter {
  void OnAnswer(const Outcome&) override {}
};

class Memod {
 public:
  explicit Memod(const Keys& keys)
      : context_(std::nullopt), method_(0, "/benchmark/Method", {.max_entries = keys.size()}) {
    keys.ForEachShuffled([&](std::string_view key) {
      Call(key, [this](std::shared_ptr<Flight> flight) {
        flight->Begin(now_);
        const auto write = [](char* to) { std::memset(to, 'v', kAnswerBytes); };
        flight->Complete(Answer::Make(flight->key(), kAnswerBytes, write), now_);
      });
    });
  }
  ~Memod() { cache_->Detach(); }

  void Hit(std::string_view key) {
    Call(key, [](std::shared_ptr<Flight>) { Fail("a miss in MemoCache"); });
  }

 private:
  void Call(std::string_view key, absl::FunctionRef<void(std::shared_ptr<Flight>)> compute) {
    cache_->GetOrCompute({.method = method_,
                          .key = CacheKey(0, key),
                          .control = Control::kNone,
                          .now = now_,
                          .waiter = &waiter_,
                          .self = none_},
                         compute);
  }

  CacheContext context_;
  const MemoizedMethod method_;
  const std::shared_ptr<MemoCache> cache_ = MemoCache::Make(context_, 1, true);
  const std::shared_ptr<const Self> none_;
  const Time now_ = Clock::now();
  Nobody waiter_;
};

template <typename Cache>
double NanosPerHit(Cache& cache, const Keys& keys, int& next, double seconds) {
  constexpr int kBetweenLooks = 4096;
  const auto begin = Steady::now();
  const auto end = begin + std::chrono::duration<double>(seconds);
  int64_t hits = 0;
  auto now = begin;
  for (; now < end; now = Steady::now()) {
    for (int i = 0; i < kBetweenLooks; ++i) {
      cache.Hit(keys[next]);
      if (++next == keys.size()) next = 0;
    }
    hits += kBetweenLooks;
  }
  return std::chrono::duration<double, std::nano>(now - begin).count() / static_cast<double>(hits);
}

void Compare(const Options& options, int entries, std::string_view name) {
  const Keys keys(entries);
  Memod memod(keys);
  LevelDb leveldb(keys);
  int next_memod = 0, next_leveldb = 0;
  const std::string figure = "ns/hit, " + std::string(name) + " entries";
  for (int round = 0; round < options.rounds; ++round) {
    const double ours = NanosPerHit(memod, keys, next_memod, options.seconds);
    const double theirs = NanosPerHit(leveldb, keys, next_leveldb, options.seconds);
    PrintPair("6", figure, ours, theirs, "LevelDB");
  }
}

}  // namespace
}  // namespace memod::benchmark

int main(int argc, char** argv) {
  using namespace memod::benchmark;
  const Options options = ParseOptions(argc, argv);
  PinTo(options.server_cpu);
  Compare(options, 128, "128");
  if (!options.Wants("6")) return 0;
  Compare(options, 100'000, "100k");
  Compare(options, 1'000'000, "1M");
}
