// Runs a trace of calls on one MemoCache, for functools_test.py to compare.
//
// In, a line each: maxsize (a number or None), then any of "call <key>", "clear", "info".
// Out, a line each: of a call "hit <answer>" or "miss <answer>", where the answer of the n-th
// computation is n; of info "<hits> <misses> <maxsize> <currsize>"; of clear nothing.
#include <iostream>
#include <memory>
#include <string>
#include <variant>

#include "memod/cache/memo_cache.h"

namespace memod {
namespace {

struct Nobody final : Waiter {
  void OnAnswer(const Outcome& outcome) override { answer = (*outcome.answer)->bytes(); }
  std::string answer;
};

class Trace {
 public:
  explicit Trace(const std::string& maxsize)
      : method_(0, "/test.Service/Method",
                Policy{.max_entries =
                           maxsize == "None" ? std::optional<int64_t>() : std::stoll(maxsize)}) {}
  ~Trace() { cache_->Detach(); }

  void Call(const std::string& key) {
    ++now_;
    Nobody waiter;
    const auto result = cache_->GetOrCompute(
        {.method = method_,
         .key = CacheKey(0, key),
         .control = Control::kNone,
         .now = Time(Duration(now_)),
         .waiter = &waiter,
         .self = nobody_},
        [&](std::shared_ptr<Flight> flight) {
          flight->Begin(Time(Duration(now_)));
          flight->Complete(Answer::Copy(flight->key(), std::to_string(++computed_)),
                           Time(Duration(now_)));
        });
    if (const auto* hit = std::get_if<Outcome>(&result)) {
      std::cout << "hit " << (*hit->answer)->bytes() << '\n';
    } else {
      std::cout << "miss " << waiter.answer << '\n';
    }
  }

  void Clear() { cache_->Clear(&method_); }

  void PrintInfo() {
    const CacheInfo info = cache_->Info(method_);
    const std::string maxsize = info.maxsize ? std::to_string(*info.maxsize) : "None";
    std::cout << info.counters.hits << ' ' << info.counters.misses << ' ' << maxsize << ' '
              << info.currsize << '\n';
  }

 private:
  CacheContext context_{std::nullopt};
  const MemoizedMethod method_;
  const std::shared_ptr<MemoCache> cache_ = MemoCache::Make(context_, 1, true);
  const std::shared_ptr<const Self> nobody_;
  int64_t now_ = 0;
  int64_t computed_ = 0;
};

}  // namespace
}  // namespace memod

int main() {
  std::ios::sync_with_stdio(false);
  std::string word, key;
  if (!(std::cin >> word)) return 2;
  memod::Trace trace(word);
  while (std::cin >> word) {
    if (word == "call" && std::cin >> key) {
      trace.Call(key);
    } else if (word == "clear") {
      trace.Clear();
    } else if (word == "info") {
      trace.PrintInfo();
    } else {
      std::cerr << "unknown: " << word << '\n';
      return 2;
    }
  }
}
