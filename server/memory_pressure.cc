#include "memod/server/memory_pressure.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memod/cache/memo_error.h"
#include "memod/server/logging.h"

namespace memod {
namespace {

using Step = MemoryPressure::Step;

constexpr Duration kInterval = std::chrono::milliseconds(250);
constexpr Duration kBetweenTrims = std::chrono::seconds(1);
// So much of all entries is given back at a time: what goes is soon enough, and no more than needed
// has gone before the system has the memory back.
constexpr int64_t kPartGivenBack = 8;

struct Described {
  const char* name;
  int percent;  // of the limit, from which on
};
constexpr std::array<Described, MemoryPressure::kSteps> kDescribed = {{
    {"none", 0},
    {"evicting", 80},
    {"no new sessions", 85},
    {"no new entries", 92},
    {"no calls", 97},
}};
const Described& Of(Step step) { return kDescribed[static_cast<size_t>(step)]; }

// Without overflow, whatever the limit.
int64_t Percent(int64_t limit, int percent) { return limit / 100 * percent; }

}  // namespace

const char* MemoryPressure::Name(Step step) { return Of(step).name; }

MemoryPressure::MemoryPressure(std::optional<MemorySource> source, CacheContext& context)
    : source_(std::move(source)), context_(context) {}

std::optional<int64_t> MemoryPressure::limit() const {
  return source_ ? std::optional(source_->limit) : std::nullopt;
}

absl::Status MemoryPressure::Refusal(Step refused) const {
  // Once it has begun it goes on until less is in use.
  const bool ending = used() < Percent(source_->limit, Of(refused).percent);
  const int percent = Of(refused).percent - (ending ? kLessPercent : 0);
  return MemoError(
      absl::StatusCode::kResourceExhausted, memo_error::kLimit,
      absl::StrCat(Of(refused).name, ending ? ", still" : "", ": ", used(),
                   " bytes of memory are in use, limit ", Percent(source_->limit, percent), ", ",
                   percent, " % of ", source_->limit, " (", source_->limit_name, ")"));
}

Step MemoryPressure::StepAt(int64_t used) const {
  int step = static_cast<int>(this->step());
  const auto reaches = [&](int s, int less) {
    return used >= Percent(source_->limit, kDescribed[s].percent - less);
  };
  while (step + 1 < kSteps && reaches(step + 1, 0)) ++step;
  while (step > 0 && !reaches(step, kLessPercent)) --step;
  return static_cast<Step>(step);
}

void MemoryPressure::Look(Time now) {
  const std::optional<int64_t> used = source_ ? source_->used() : std::nullopt;
  if (!used) return;
  used_.store(*used, std::memory_order_relaxed);
  const Step was = step(), is = StepAt(*used);
  step_.store(is, std::memory_order_relaxed);
  context_.storing.store(is < Step::kNoEntries, std::memory_order_relaxed);
  if (is != was) {
    Log(is > was ? LogLevel::warn : LogLevel::info, "memory pressure",
        {{"now", Name(is)},
         {"before", Name(was)},
         {"used", *used},
         {"limit", source_->limit},
         {"limit_name", source_->limit_name}});
  }
  if (is == Step::kNone) return;
  const int64_t given_back = GiveBack(now);
  // Now and then all the same: what else was freed meanwhile, as with sessions, nobody counts.
  const bool due = is > was || now >= next_trim_;
  if (due) next_trim_ = now + kBetweenTrims;
  context_.reaper.Reclaim(due ? Reaper::kWorthTrimming : given_back);
}

int64_t MemoryPressure::GiveBack(Time now) {
  const int64_t before = context_.bytes.used();
  // Where all entries together would not end this step they stay. What has been given back counts as
  // other memory until the system has it, so nothing more goes for that time.
  const int64_t ends = Percent(source_->limit, Of(step()).percent - kLessPercent);
  if (used() - before >= ends) return 0;
  // Rounded up: the last entry goes, too.
  context_.bytes.Shrink(before - (before + kPartGivenBack - 1) / kPartGivenBack, now);
  return std::max<int64_t>(0, before - context_.bytes.used());
}

MemoryWatch::MemoryWatch(MemoryPressure& pressure) : pressure_(pressure) {
  if (pressure.limit()) thread_ = std::thread([this] { Run(); });
}

MemoryWatch::~MemoryWatch() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  stopped_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void MemoryWatch::Run() {
  while (true) {
    pressure_.Look(Clock::now());
    const Time until = Clock::now() + kInterval;
    MutexLock lock(mutex_);
    while (!stopping_ && Clock::now() < until) stopped_.wait_until(mutex_, until);
    if (stopping_) return;
  }
}

}  // namespace memod
