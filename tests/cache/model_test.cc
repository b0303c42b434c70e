// A million random operations on sessions, caches and budgets, beside a model that is obviously
// right. MEMOD_TEST_SCALE divides the million, for builds that are slow.
#include <cstdlib>
#include <iostream>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "memod/tests/cache/fixture.h"
#include "memod/tests/cache/twin.h"

namespace memod {
namespace {

constexpr int kMaxDepth = 4;
constexpr int kMaxSessions = 6;
constexpr int kMaxComputations = 25;
constexpr int kKeys = 14;

struct World {
  const char* name;
  std::optional<int64_t> max_bytes;
  int64_t guaranteed_bytes;
  std::vector<Policy> methods;
};

std::vector<World> Worlds() {
  const auto unbounded = std::optional<int64_t>();
  const Policy plain{.max_entries = 6};
  const Policy total{.max_entries = unbounded, .max_entries_total = 9};
  const Policy both{.max_entries = 4, .max_entries_total = 11, .ttl = seconds(2)};
  const Policy small{.max_entries = unbounded, .max_entry_bytes = 20, .ttl = seconds(1)};
  const Policy nothing{.max_entries = -1};
  const Policy apart{.max_entries = 5, .coalesce = false};
  const Policy shared{.max_entries = 7, .ttl = seconds(3), .scope = Scope::kServer};
  const Policy together{.max_entries = 8, .cache = "together"};
  const Policy aging{.max_entries = 8, .ttl = seconds(1), .cache = "together"};
  const Policy all_together{
      .max_entries = unbounded, .max_entries_total = 10, .cache = "all together"};
  const Policy negative{
      .max_entries = 6,
      .ttl = seconds(2),
      .negative = {{absl::StatusCode::kNotFound, seconds(1)}, {absl::StatusCode::kInternal, {}}}};
  const Policy stale{.max_entries = 6, .ttl = seconds(1), .stale_if_error = seconds(2)};
  const int64_t entry = ChargeOf("k", "answer");
  return {
      {"no byte bound", unbounded, 0, {plain, total, both, small, nothing, apart, shared}},
      {"bytes for some 30 entries",
       30 * entry,
       0,
       {plain, total, both, small, nothing, apart, shared}},
      {"bytes for some 5 entries", 5 * entry, 0, {plain, both, apart, shared}},
      {"totals only", unbounded, 0, {total, total, both, both}},
      {"caches with a name", unbounded, 0, {together, aging, together, all_together, all_together}},
      {"shares of the bytes",
       40 * entry,
       6 * entry,
       {plain, together, aging, negative, stale, shared}},
      {"equal shares of the bytes", 40 * entry, 40 * entry, {plain, total, negative, shared}},
  };
}

class RandomOperations {
 public:
  RandomOperations(const World& world, uint32_t seed)
      : random_(seed),
        methods_(static_cast<int>(world.methods.size())),
        twin_({world.max_bytes, world.guaranteed_bytes, kMaxDepth}, world.methods) {}

  void Run(int64_t operations) {
    for (int64_t i = 0; i < operations && !::testing::Test::HasFailure(); ++i) {
      SCOPED_TRACE("operation " + std::to_string(i));
      twin_.Advance((1 + Below(3)) * Twin::kTick);
      if (Below(100) == 0) twin_.Advance(Below(1024) * Twin::kTick);
      Step();
      if (i % 16 == 0) twin_.ExpectSameInfos();
    }
  }

 private:
  int Below(int n) { return static_cast<int>(random_() % static_cast<uint32_t>(n)); }
  std::string Key() { return std::to_string(Below(kKeys)); }
  // Half of the sessions share one of two states with each other, whoever else is on it.
  std::optional<std::string> State() {
    const int state = Below(4);
    return state < 2 ? std::optional(std::to_string(state)) : std::nullopt;
  }
  std::string NewAnswer() {
    return std::to_string(++answers_) + std::string(static_cast<size_t>(Below(40)), '.') +
           (Below(50) == 0 ? std::string(2000, 'x') : "");
  }

  void Step() {
    const int computations = static_cast<int>(twin_.computations().size());
    if (twin_.sessions() == 0) return twin_.Open(State());
    if (computations >= kMaxComputations) return End(Below(computations));
    const int what = Below(1000);
    if (what < 8 && twin_.sessions() < kMaxSessions) return twin_.Open(State());
    if (what < 14) return twin_.Close(Below(twin_.sessions()));
    if (what < 20) return twin_.Update(Below(twin_.sessions()), State());
    if (what < 30) return Clear();
    if (what < 50) return twin_.Forget(Below(twin_.sessions()), Below(methods_), Key());
    if (what < 600) return Call();
    if (computations == 0) return;
    if (what < 660) return CallNested(Below(computations));
    if (what < 720) return Leave();
    if (what < 800) return twin_.ExpectSameCancelled(static_cast<size_t>(Below(computations)));
    End(Below(computations));
  }

  void Call() {
    constexpr Control kControls[] = {Control::kBypass, Control::kRefresh, Control::kNoStore,
                                     Control::kOnlyIfCached};
    const Control control = Below(4) == 0 ? kControls[Below(4)] : Control::kNone;
    twin_.Call(Below(twin_.sessions()), Below(methods_), Key(), control);
    // Most computations are over before anything else happens.
    if (!twin_.computations().empty() && Below(3) != 0) End(twin_.computations().size() - 1);
  }

  void CallNested(int computation) {
    const auto parent = static_cast<size_t>(computation);
    if (!twin_.computations()[parent].begun && !twin_.Begin(parent)) return;
    twin_.CallNested(twin_.computations()[parent], Below(methods_), Key());
  }

  void Clear() {
    const bool one_session = Below(4) != 0, one_method = Below(4) != 0;
    twin_.Clear(one_session ? std::optional(Below(twin_.sessions())) : std::nullopt,
                one_method ? std::optional(Below(methods_)) : std::nullopt);
  }

  void Leave() {
    const std::vector<int> waiting = twin_.waiting();
    if (!waiting.empty()) twin_.Leave(waiting[static_cast<size_t>(Below(waiting.size()))]);
  }

  // A computation begins, ends well or badly, or takes too long.
  void End(size_t computation) {
    twin_.Advance(Twin::kTick);  // the order of uses at one time is nobody's promise
    const int how = Below(20);
    if (how == 0) return twin_.Abandon(computation);
    computation = twin_.Innermost(computation);
    if (how < 3) return Fail(computation);
    if (!twin_.computations()[computation].begun) {
      twin_.Begin(computation);
      twin_.Advance(Below(500) * Twin::kTick);
    }
    twin_.Complete(computation, NewAnswer());
  }

  void Fail(size_t computation) {
    constexpr absl::StatusCode kCodes[] = {absl::StatusCode::kInternal, absl::StatusCode::kNotFound,
                                           absl::StatusCode::kAborted,
                                           absl::StatusCode::kUnavailable};
    if (Below(2) == 0 && !twin_.computations()[computation].begun) twin_.Begin(computation);
    twin_.Fail(computation, kCodes[Below(4)]);
  }

  std::mt19937 random_;
  const int methods_;
  int answers_ = 0;
  Twin twin_;
};

TEST(ModelTest, RandomOperationsGiveWhatTheModelSays) {
  constexpr uint32_t kSeed = 20240607;
  const char* scale = std::getenv("MEMOD_TEST_SCALE");
  const int64_t operations = 1'000'000 / std::max(1, scale == nullptr ? 1 : std::atoi(scale));
  const std::vector<World> worlds = Worlds();
  for (size_t i = 0; i < worlds.size(); ++i) {
    const uint32_t seed = kSeed + static_cast<uint32_t>(i);
    std::cout << worlds[i].name << ": seed " << seed << std::endl;
    SCOPED_TRACE(worlds[i].name);
    RandomOperations(worlds[i], seed).Run(operations / static_cast<int64_t>(worlds.size()));
  }
}

}  // namespace
}  // namespace memod
