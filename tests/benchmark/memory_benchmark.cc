// Row 11, memod's half: what an entry takes beyond its key and its value, as the allocator counts it.
#include <malloc.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "memod/cache/memo_cache.h"
#include "runner.h"

namespace memod::benchmark {
namespace {

constexpr int64_t kEntries = 100'000;
constexpr int64_t kKeyBytes = 16;

struct Nobody final : Waiter {
  void OnAnswer(const Outcome&) override {}
};

// In use, with what the allocator itself needs for it.
int64_t AllocatedBytes() {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<int64_t>(info.uordblks + info.hblkhd);
}

double BytesPerEntry(int64_t value_bytes) {
  CacheContext context(std::nullopt);
  const MemoizedMethod method(0, "/benchmark/Method", {.max_entries = kEntries});
  const std::shared_ptr<MemoCache> cache = MemoCache::Make(context, 1, true);
  const std::shared_ptr<const Self> none;
  const Time now = Clock::now();
  Nobody waiter;
  const int64_t before = AllocatedBytes();
  for (int64_t i = 0; i < kEntries; ++i) {
    char key[kKeyBytes + 1];
    std::snprintf(key, sizeof(key), "%016lld", static_cast<long long>(i));
    cache->GetOrCompute({.method = method,
                         .key = CacheKey(0, {key, kKeyBytes}),
                         .control = Control::kNone,
                         .now = now,
                         .waiter = &waiter,
                         .self = none},
                        [&](std::shared_ptr<Flight> flight) {
                          const auto write = [&](char* to) { std::memset(to, 'v', value_bytes); };
                          flight->Begin(now);
                          flight->Complete(Answer::Make(flight->key(), value_bytes, write), now);
                        });
  }
  const int64_t after = AllocatedBytes();
  cache->Detach();
  return static_cast<double>(after - before) / kEntries -
         static_cast<double>(kKeyBytes + value_bytes);
}

}  // namespace
}  // namespace memod::benchmark

int main(int argc, char** argv) {
  using namespace memod::benchmark;
  ParseOptions(argc, argv);
  for (const auto& [name, bytes] :
       {std::pair{"16 B", 16}, {"64 B", 64}, {"256 B", 256}, {"1 KiB", 1024}}) {
    PrintMemod("11", std::string("bytes/entry, ") + name + " values", BytesPerEntry(bytes));
  }
}
