// What `memoctl top` makes of two looks at a server. In a terminal:
// process/memoctl_terminal_test.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "memod/client/memoctl/table.h"
#include "memod/client/memoctl/top_figures.h"
#include "memod/client/memoctl/top_view.h"

namespace memod {
namespace {

using memo::v1::CacheInfo;
using testing::AllOf;
using testing::Each;
using testing::HasSubstr;

using testing::Not;
using testing::SizeIs;

CacheInfo Info(int64_t hits, int64_t misses, double compute_seconds = 0) {
  CacheInfo info;
  info.set_hits(hits);
  info.set_misses(misses);
  info.set_computations(misses);
  info.set_compute_seconds(compute_seconds);
  info.set_currsize(misses);
  info.set_bytes(misses * 100);
  return info;
}

// The total is that of the method added last.
void Add(TopSample& sample, const std::string& method, const CacheInfo& info) {
  auto* added = sample.info.add_methods();
  added->set_method(method);
  *added->mutable_info() = info;
  *sample.info.mutable_total() = info;
}

void AddSession(TopSample& sample, const std::string& id, const CacheInfo& info, int age) {
  memo::v1::SessionInfo session;
  session.set_session_id(id);
  session.set_state_type("memo.examples.v1.SlowAdderState");
  session.mutable_age()->set_seconds(age);
  *session.mutable_total() = info;
  sample.sessions.push_back(session);
}

TopSample At(int second) {
  TopSample sample;
  sample.time = absl::FromUnixSeconds(second);
  return sample;
}

TEST(TopFigures, AreDifferencesOverTheTimeBetween) {
  TopSample before = At(100), now = At(102);
  Add(before, "/a/B", Info(10, 10, 1));
  Add(now, "/a/B", Info(40, 20, 5));
  AddSession(before, "s1", Info(1, 1), 5);
  AddSession(now, "s1", Info(9, 1), 7);
  AddSession(now, "s2", Info(0, 4), 1);
  const TopFigures figures = Compare(before, now);
  EXPECT_EQ(figures.seconds, 2);
  EXPECT_EQ(figures.total.calls_per_second, 20);
  EXPECT_EQ(figures.total.hits_per_second, 15);
  EXPECT_EQ(figures.total.computations_per_second, 5);
  EXPECT_EQ(figures.methods.at(0).mean_compute_seconds, 0.25);
  EXPECT_DOUBLE_EQ(figures.methods.at(0).hit_ratio, 40 / 60.);
  EXPECT_EQ(figures.sessions.at(0).calls_per_second, 4);
  EXPECT_EQ(figures.sessions.at(1).calls_per_second, 2);  // opened in between
  EXPECT_EQ(figures.sessions.at(1).age, 1);
}

TEST(TopFigures, ClearedCountersBeginAnew) {
  TopSample before = At(0), now = At(1);
  Add(before, "/a/B", Info(1000, 100));
  Add(now, "/a/B", Info(3, 1));
  EXPECT_EQ(Compare(before, now).total.calls_per_second, 4);
}

TEST(TopFigures, NothingCalledAndNoTimeGoneAreZeros) {
  TopSample sample = At(0);
  Add(sample, "/a/B", Info(0, 0));
  const TopFigures figures = Compare(sample, sample);
  EXPECT_EQ(figures.total.calls_per_second, 0);
  EXPECT_EQ(figures.total.hit_ratio, 0);
  EXPECT_EQ(figures.total.mean_compute_seconds, 0);
}

TEST(TopFigures, SlowestMethodIsFirst) {
  TopSample sample = At(0);
  Add(sample, "/a/Fast", Info(0, 10, 1));
  Add(sample, "/a/Slow", Info(0, 1, 9));
  Add(sample, "/a/Never", Info(0, 0));
  const auto methods = Compare(sample, sample).methods;
  EXPECT_EQ(methods[0].name + methods[1].name + methods[2].name, "/a/Slow/a/Fast/a/Never");
}

TEST(TopFigures, JsonHasStableNames) {
  TopSample sample = At(0);
  Add(sample, "/a/B", Info(1, 1));
  AddSession(sample, "s1", Info(1, 1), 1);
  using Json = nlohmann::ordered_json;
  const Json json = Json::parse(TopJson(Compare(sample, sample), -1));
  const auto keys = [](const Json& object) {
    std::string all;
    for (const auto& item : object.items()) all += item.key() + " ";
    return all;
  };
  const std::string row =
      "calls_per_second hits_per_second computations_per_second hit_ratio mean_compute_seconds "
      "info ";
  EXPECT_EQ(keys(json), "seconds gauges total methods sessions ");
  EXPECT_EQ(keys(json["gauges"]),
            "sessions instances flights entries bytes holders leases incarnations waiters timers "
            "reactors queued unsent_bytes builds calls ");
  EXPECT_EQ(keys(json["total"]), row);
  EXPECT_EQ(keys(json["methods"][0]), "method " + row);
  EXPECT_EQ(keys(json["sessions"][0]), "session_id " + row + "state_type age ");
  EXPECT_EQ(json["total"]["info"]["hits"], 1);
}

class TopViewTest : public testing::Test {
 protected:
  TopViewTest() {
    TopSample sample = At(0);
    for (int i = 0; i < 12; ++i) {
      Add(sample, "/memo.examples.v1.SlowAdder/Calculate" + std::to_string(i), Info(i, i + 1, 1));
    }
    for (int i = 0; i < 40; ++i) {
      AddSession(sample, "session" + std::to_string(i), Info(100 - i, i), i);
    }
    figures_ = Compare(sample, sample);
    view_.address = "127.0.0.1:7071";
    view_.interval = absl::Seconds(1);
  }
  std::vector<std::string> LinesAt(size_t rows, size_t columns) {
    view_.size = Screen::Size{rows, columns};
    std::vector<std::string> lines = absl::StrSplit(TopText(figures_, view_), '\n');
    lines.pop_back();
    return lines;
  }

  TopFigures figures_;
  TopView view_;
};

TEST_F(TopViewTest, FillsTheScreenAndIsNeverLarger) {
  for (const auto& [rows, columns] : {std::pair{24, 80}, {50, 200}, {30, 60}, {16, 80}}) {
    const auto lines = LinesAt(rows, columns);
    EXPECT_THAT(lines, SizeIs(rows)) << rows;
    for (const std::string& line : lines) EXPECT_LE(DisplayWidth(line), columns) << line;
  }
}

TEST_F(TopViewTest, TinyScreensAreSurvived) {
  for (size_t rows = 1; rows < 14; ++rows) {
    for (const size_t columns : {1, 5, 20, 40}) EXPECT_THAT(LinesAt(rows, columns), Not(SizeIs(0)));
  }
}

TEST_F(TopViewTest, LongNamesAreCutInTheMiddleAndWhatIsLeftOutIsCounted) {
  const std::string text = absl::StrJoin(LinesAt(24, 80), "\n");
  EXPECT_THAT(text, AllOf(HasSubstr("\n/memo.exa..owAdder/Calculate0 "), HasSubstr("more\n")));
  EXPECT_THAT(absl::StrJoin(LinesAt(80, 200), "\n"), Not(HasSubstr("more\n")));
}

TEST_F(TopViewTest, SessionsAreSorted) {
  const auto first = [this] {
    const auto lines = LinesAt(24, 80);
    const auto title = std::find_if(lines.begin(), lines.end(), [](const std::string& line) {
      return line.starts_with("SESSIONS BY ");
    });
    return *title + (title + 1)->substr(0, 10);
  };
  EXPECT_THAT(first(), AllOf(HasSubstr("BY BYTES"), HasSubstr("session39")));
  view_.sort = TopView::Sort::kAge;
  EXPECT_THAT(first(), AllOf(HasSubstr("BY AGE"), HasSubstr("session39")));
  view_.sort = TopView::Sort::kCalls;
  EXPECT_THAT(first(), HasSubstr("BY CALLS/S"));
}

TEST_F(TopViewTest, ColorsAreForTerminalsThatWantThem) {
  EXPECT_THAT(LinesAt(24, 80), Each(Not(HasSubstr("\x1b"))));
  view_.colors = true;
  EXPECT_THAT(absl::StrJoin(LinesAt(24, 80), "\n"), HasSubstr("\x1b[7m"));
  view_.size.reset();
  EXPECT_THAT(TopText(figures_, view_), Not(HasSubstr("\x1b")));
}

TEST_F(TopViewTest, TroubleIsToldAndCannotStyleTheTerminal) {
  view_.trouble = "UNAVAILABLE: \x1b[5m";
  EXPECT_THAT(LinesAt(24, 80).back(), testing::StrEq("UNAVAILABLE: \\x1b[5m"));
}

}  // namespace
}  // namespace memod
