// What an entry and a session take, as the allocator sees it: bytes and allocations, never time.
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <new>
#include <thread>
#include <variant>

#include "gtest/gtest.h"
#include "memod/cache/memo_cache.h"
#include "memod/cache/session_table.h"

namespace {

// Of this thread, through `new`.
thread_local int64_t allocations = 0;
thread_local int64_t bytes = 0;

// What glibc takes for a block: the block, and 8 bytes before it.
int64_t Taken(void* block) { return static_cast<int64_t>(malloc_usable_size(block)) + 8; }

void* Allocate(size_t size) {
  void* block = std::malloc(size);
  if (block == nullptr) throw std::bad_alloc();
  ++allocations;
  bytes += Taken(block);
  return block;
}

void Free(void* block) {
  if (block != nullptr) bytes -= Taken(block);
  std::free(block);
}

}  // namespace

void* operator new(size_t size) { return Allocate(size); }
void operator delete(void* block) noexcept { Free(block); }
void operator delete(void* block, size_t) noexcept { Free(block); }

namespace memod {
namespace {

constexpr size_t kKeyBytes = 16;

struct Nobody final : Waiter {
  void OnAnswer(const Outcome&) override {}
};

class MemoryTest : public ::testing::Test {
 protected:
  // Calls with the request `n`; a miss is answered with `size` bytes. Whether it was a hit.
  bool Call(uint64_t n, size_t size = 0) {
    char request[kKeyBytes] = {};
    std::memcpy(request, &n, sizeof(n));
    const MemoCache::Result result =
        cache_->GetOrCompute({.method = method_,
                              .key = CacheKey(0, {request, kKeyBytes}),
                              .control = Control::kNone,
                              .now = Time(),
                              .waiter = &waiter_,
                              .self = self_},
                             [&](std::shared_ptr<Flight> flight) {
                               const auto write = [&](char* to) { std::memset(to, 'v', size); };
                               flight->Complete(Answer::Make(flight->key(), size, write), Time());
                             });
    return std::holds_alternative<Outcome>(result);
  }

  CacheContext context_{std::nullopt};
  const MemoizedMethod method_{0, "/memory.Test/Method", {.max_entries = std::nullopt}};
  const std::shared_ptr<MemoCache> cache_ = MemoCache::Make(context_, 1, true);
  const std::shared_ptr<const Self> self_;
  Nobody waiter_;
};

// The tests that only hold of glibc's own malloc are not built with a sanitizer's.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define GLIBC_MALLOC
#endif

// The index doubles between these, so that its worst load is among them.
constexpr int64_t kFewest = 10'000, kStep = 500, kMost = 30'000;

class EntryTest : public MemoryTest, public ::testing::WithParamInterface<size_t> {};

TEST_P(EntryTest, CostsAtMost96BytesBeyondKeyAndValue) {
  const int64_t before = bytes;
  for (int64_t n = 0; n < kMost;) {
    Call(static_cast<uint64_t>(n++), GetParam());
    if (n < kFewest || n % kStep != 0) continue;
    const double entry = static_cast<double>(bytes - before) / static_cast<double>(n);
    ASSERT_LE(entry - static_cast<double>(kKeyBytes + GetParam()), 96) << n << " entries";
  }
}

#ifdef GLIBC_MALLOC
TEST_P(EntryTest, IsChargedWhatItTakes) {
  const int64_t before = bytes;
  double worst = 0, sum = 0, times = 0;
  for (int64_t n = 0; n < kMost;) {
    Call(static_cast<uint64_t>(n++), GetParam());
    if (n < kFewest || n % kStep != 0) continue;
    const double off =
        static_cast<double>(context_.bytes.used()) / static_cast<double>(bytes - before) - 1;
    worst = std::max(worst, std::abs(off));
    sum += off;
    ++times;
  }
  EXPECT_LT(worst, 0.06);
  EXPECT_LT(std::abs(sum / times), 0.03);
}
#endif

INSTANTIATE_TEST_SUITE_P(Of, EntryTest, ::testing::Values(0, 16, 37, 64, 256, 1024));

TEST_F(MemoryTest, HitAllocatesNothing) {
  for (uint64_t n = 0; n < 1000; ++n) Call(n, 64);
  const int64_t before = allocations;
  for (uint64_t n = 0; n < 1000; ++n) ASSERT_TRUE(Call(n));
  EXPECT_EQ(allocations, before);
}

#ifdef GLIBC_MALLOC
double ResidentMiB() {
  std::ifstream file("/proc/self/statm");
  double size = 0, resident = 0;
  file >> size >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

// Again and again, and whichever thread had stored: each has a heap of its own.
TEST_F(MemoryTest, WhatALargeCacheHeldIsTheSystemsAgain) {
  constexpr double kHeldMiB = 40, kLeftMiB = 12;
  const double before = ResidentMiB();
  for (int round = 0; round < 3; ++round) {
    std::thread([&] {
      for (uint64_t n = 0; n < 300'000; ++n) Call(n, 64);
    }).join();
    ASSERT_GT(ResidentMiB(), before + kHeldMiB);
    cache_->Clear(nullptr);
    const auto deadline = Clock::now() + std::chrono::seconds(30);
    while (ResidentMiB() > before + kLeftMiB && Clock::now() < deadline) std::this_thread::yield();
    ASSERT_LE(ResidentMiB(), before + kLeftMiB) << "round " << round;
  }
}
#endif

// All that is the server's own of a leased session in which nothing was asked for yet. Of 64 parts,
// whose indexes double between these.
TEST(SessionMemoryTest, LeasedSessionTakesAtMost600Bytes) {
  constexpr int64_t kFewestSessions = 50'000, kMostSessions = 130'000, kSessionStep = 1'000;
  CacheContext context(std::nullopt);
  SessionTable table(context, {.max_sessions = kMostSessions});
  const int64_t before = bytes;
  double most = 0;
  for (int64_t n = 0; n < kMostSessions;) {
    const auto session =
        table.Open(table.MakeOrigin("a.State", {}), "ipv4:203.0.113.7:43210", Time());
    ASSERT_TRUE(session.ok());
    ASSERT_TRUE(table.Lease(**session, std::chrono::minutes(1), Time()).ok());
    if (++n < kFewestSessions || n % kSessionStep != 0) continue;
    most = std::max(most, static_cast<double>(bytes - before) / static_cast<double>(n));
  }
  std::printf("%.0f bytes\n", most);
  EXPECT_LE(most, 600);
}

// The flight, what counts its references, its request, its place in the list; and the answer,
// which is the entry.
TEST_F(MemoryTest, MissAllocatesFiveTimesAndNowAndThenForTheIndex) {
  for (uint64_t n = 0; n < 1000; ++n) Call(n, 64);
  const int64_t before = allocations;
  for (uint64_t n = 1000; n < 2000; ++n) ASSERT_FALSE(Call(n, 64));
  EXPECT_LE(allocations - before, 5 * 1000 + 2);
}

}  // namespace
}  // namespace memod
