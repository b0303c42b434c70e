// Every order of calling, leaving, completing, clearing, changing the state and closing, of up to
// three callers of one key, each beside the model.
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "memod/tests/cache/twin.h"

namespace memod {
namespace {

// What happens next: 'c' the next caller calls, 'l' somebody leaves, 'f' a computation ends,
// 'x' clear, 'u' update, 'q' close. `who` is the caller.
struct Event {
  char what;
  int who;
};

// One world for all orders; each order has a session of its own.
class Orders {
 public:
  Orders(std::vector<Control> controls, bool coalesce, bool shared)
      : controls_(std::move(controls)),
        shared_(shared),
        twin_({std::nullopt, 0, 10}, {Policy{.max_entries = 2, .coalesce = coalesce}}) {}

  // Runs every order that begins with what is in `order`; returns how many there were.
  int64_t RunAll(std::vector<Event>& order, int longest) {
    const std::vector<Event> next = Replay(order);
    if (::testing::Test::HasFailure()) return 0;
    if (next.empty() || static_cast<int>(order.size()) == longest) return 1;
    int64_t orders = 0;
    for (const Event event : next) {
      order.push_back(event);
      orders += RunAll(order, longest);
      order.pop_back();
    }
    return orders;
  }

 private:
  // Plays the order on a new session. Returns what may come next.
  std::vector<Event> Replay(const std::vector<Event>& order) {
    std::string text;
    for (const Event& event : order) text += event.what + std::to_string(event.who) + ' ';
    SCOPED_TRACE(text);
    callers_.clear();
    closed_ = false;
    twin_.Open(State());
    if (shared_) twin_.Open(State());
    for (const Event& event : order) Play(event);
    if (!closed_) twin_.ExpectSameInfos();
    const std::vector<Event> next = Next(order);
    while (twin_.sessions() > 0) twin_.Close(0);
    while (!twin_.computations().empty()) twin_.Complete(0, "late");
    return next;
  }

  void Play(const Event& event) {
    twin_.Advance(Twin::kTick);
    switch (event.what) {
      case 'c':
        callers_.push_back(twin_.Call(SessionOf(event.who), 0, "k", controls_[event.who]));
        break;
      case 'l':
        twin_.Leave(callers_[event.who]);
        break;
      case 'f':
        twin_.Complete(Computing(event.who), "answer " + std::to_string(event.who));
        break;
      case 'x':
        twin_.Clear(0, 0);
        break;
      case 'u':
        twin_.Update(0, std::nullopt);
        break;
      case 'q':
        twin_.Close(0);
        closed_ = true;
        break;
    }
  }

  std::optional<std::string> State() const {
    return shared_ ? std::optional<std::string>("equal") : std::nullopt;
  }
  // Where a state is shared, the second caller is the other session's, which is not closed.
  int SessionOf(int who) const { return shared_ && who == 1 && !closed_ ? 1 : 0; }

  // The place of the computation that the caller started, or one past the last.
  size_t Computing(int who) const {
    const auto& all = twin_.computations();
    return static_cast<size_t>(
        std::find_if(all.begin(), all.end(),
                     [&](const auto& c) { return c.starter == callers_[who]; }) -
        all.begin());
  }

  std::vector<Event> Next(const std::vector<Event>& order) const {
    const auto happened = [&](char what) {
      return std::any_of(order.begin(), order.end(), [&](Event e) { return e.what == what; });
    };
    std::vector<Event> next;
    const int called = static_cast<int>(callers_.size());
    const bool can_call = !closed_ || (shared_ && called == 1);
    if (called < static_cast<int>(controls_.size()) && can_call) next.push_back({'c', called});
    if (!closed_) {
      for (const char what : {'x', 'u'}) {
        if (!happened(what)) next.push_back({what, 0});
      }
      next.push_back({'q', 0});
    }
    const std::vector<int> waiting = twin_.waiting();
    for (int who = 0; who < called; ++who) {
      if (std::count(waiting.begin(), waiting.end(), callers_[who])) next.push_back({'l', who});
      if (Computing(who) < twin_.computations().size()) next.push_back({'f', who});
    }
    return next;
  }

  const std::vector<Control> controls_;
  const bool shared_;
  Twin twin_;
  std::vector<int> callers_;
  bool closed_ = false;
};

int64_t RunAll(const std::vector<Control>& controls, bool coalesce = true, bool shared = false) {
  // To their ends; in a slow build, only how they begin.
  const bool slow = std::getenv("MEMOD_TEST_SCALE") != nullptr;
  const int longest = slow ? 6 : std::numeric_limits<int>::max();
  std::vector<Event> order;
  const int64_t orders = Orders(controls, coalesce, shared).RunAll(order, longest);
  std::cout << orders << " orders" << std::endl;
  return orders;
}

constexpr Control kNone = Control::kNone;

TEST(FlightOrdersTest, ThreeEqualCalls) { EXPECT_GT(RunAll({kNone, kNone, kNone}), 1000); }

TEST(FlightOrdersTest, RefreshAmongThem) {
  EXPECT_GT(RunAll({kNone, Control::kRefresh, kNone}), 1000);
}

TEST(FlightOrdersTest, TwoRefreshes) {
  EXPECT_GT(RunAll({Control::kRefresh, Control::kRefresh, kNone}), 1000);
}

// Of three callers one is on another session with an equal state: the first session's closing ends
// the waits of the two others only.
TEST(FlightOrdersTest, SessionsThatShareTheirState) {
  EXPECT_GT(RunAll({kNone, kNone, kNone}, /*coalesce=*/true, /*shared=*/true), 1000);
}

TEST(FlightOrdersTest, WithoutCoalesce) {
  EXPECT_GT(RunAll({kNone, kNone, kNone}, /*coalesce=*/false), 1000);
}

}  // namespace
}  // namespace memod
