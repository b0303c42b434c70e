// What a hit and a miss cost without a network: 16-byte keys, 64-byte answers, one thread.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "memod/cache/lru_cache.h"
#include "memod/cache/memo_cache.h"

namespace memod {
namespace {

constexpr size_t kKeyBytes = 16;
constexpr size_t kAnswerBytes = 64;

std::string Request(uint64_t n) {
  std::string request(kKeyBytes, 'k');
  std::memcpy(request.data(), &n, sizeof(n));
  return request;
}

// Every request once, in an order that no prefetcher knows.
std::vector<std::string> Requests(int64_t n) {
  std::vector<std::string> requests;
  for (int64_t i = 0; i < n; ++i) requests.push_back(Request(static_cast<uint64_t>(i)));
  std::shuffle(requests.begin(), requests.end(), std::mt19937(1));
  return requests;
}

Answer::Ref NewAnswer(const CacheKey& key) {
  return Answer::Make(key, kAnswerBytes, [](char* to) { std::memset(to, 'v', kAnswerBytes); });
}

void LruCacheLookupHit(benchmark::State& state) {
  LruCache cache(state.range(0));
  const std::vector<std::string> requests = Requests(state.range(0));
  LruCache::Removed removed;
  for (const std::string& request : requests) {
    cache.Insert(NewAnswer(CacheKey(0, request)), Time(), 0, removed);
  }
  const Time now = Clock::now();
  size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(cache.Lookup(CacheKey(0, requests[i]), now));
    if (++i == requests.size()) i = 0;
  }
}
BENCHMARK(LruCacheLookupHit)->Arg(128)->Arg(100'000)->Arg(1'000'000);

void LruCacheInsertAndEvict(benchmark::State& state) {
  LruCache cache(state.range(0));
  LruCache::Removed removed;
  uint64_t n = 0;
  const auto insert = [&] {
    const std::string request = Request(n++);
    cache.Insert(NewAnswer(CacheKey(0, request)), Time(), 0, removed);
    removed.clear();
  };
  while (cache.held().entries < state.range(0)) insert();
  for (auto _ : state) insert();
}
BENCHMARK(LruCacheInsertAndEvict)->Arg(128)->Arg(100'000)->Arg(1'000'000);

struct Nobody final : Waiter {
  void OnAnswer(const Outcome&) override {}
};

// A MemoCache, and a computation that costs nothing but its answer.
class World {
 public:
  explicit World(const Policy& policy, std::optional<int64_t> max_bytes = std::nullopt)
      : context_(max_bytes), method_(0, "/benchmark/Method", policy) {}
  ~World() { cache_->Detach(); }

  MemoCache::Result Call(const std::string& request) {
    const Time now = Clock::now();
    return cache_->GetOrCompute({.method = method_,
                                 .key = CacheKey(0, request),
                                 .control = Control::kNone,
                                 .now = now,
                                 .waiter = &waiter_,
                                 .self = none_},
                                [now](std::shared_ptr<Flight> flight) {
                                  flight->Begin(now);
                                  flight->Complete(NewAnswer(flight->key()), now);
                                });
  }

 private:
  CacheContext context_;
  const MemoizedMethod method_;
  const std::shared_ptr<MemoCache> cache_ = MemoCache::Make(context_, 1, true);
  const std::shared_ptr<const Self> none_;
  Nobody waiter_;
};

// With its look at the clock, as the server has it.
void MemoCacheHit(benchmark::State& state) {
  World world({.max_entries = state.range(0)});
  const std::vector<std::string> requests = Requests(state.range(0));
  for (const std::string& request : requests) world.Call(request);
  size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(world.Call(requests[i]));
    if (++i == requests.size()) i = 0;
  }
}
BENCHMARK(MemoCacheHit)->Arg(128)->Arg(100'000)->Arg(1'000'000);

void MissAndStore(benchmark::State& state, World& world) {
  uint64_t n = 0;
  for (int64_t i = 0; i < state.range(0); ++i) world.Call(Request(n++));
  for (auto _ : state) benchmark::DoNotOptimize(world.Call(Request(n++)));
}

void MemoCacheMissAndStore(benchmark::State& state) {
  World world({.max_entries = state.range(0)});
  MissAndStore(state, world);
}
BENCHMARK(MemoCacheMissAndStore)->Arg(128)->Arg(100'000)->Arg(1'000'000);

// Evicting by cache.max_bytes instead of by max_entries.
void MemoCacheMissAndStoreInABudget(benchmark::State& state) {
  const std::string request = Request(0);
  const int64_t charge = NewAnswer(CacheKey(0, request))->charge();
  World world({.max_entries = std::nullopt}, state.range(0) * charge);
  MissAndStore(state, world);
}
BENCHMARK(MemoCacheMissAndStoreInABudget)->Arg(128)->Arg(100'000)->Arg(1'000'000);

}  // namespace
}  // namespace memod
