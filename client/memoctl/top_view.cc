#include "memod/client/memoctl/top_view.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "memod/client/memoctl/table.h"

namespace memod {
namespace {

using Align = Table::Align;
using Sort = TopView::Sort;

constexpr size_t kPlainColumns = 100;
constexpr size_t kBarColumns = 20;

constexpr char kBold[] = "\x1b[1m";
constexpr char kGreen[] = "\x1b[32m";
constexpr char kRed[] = "\x1b[1;31m";
constexpr char kReverse[] = "\x1b[7m";

std::string Styled(const TopView& view, const char* style, const std::string& text) {
  return view.colors && view.size ? absl::StrCat(style, text, "\x1b[0m") : text;
}

std::string Percent(double ratio) { return absl::StrFormat("%.1f%%", ratio * 100); }

std::string PerSecond(double rate) {
  return absl::StrFormat("%.*f", rate > 0 && rate < 9.95 ? 1 : 0, rate);
}

bool HasCalls(const TopRow& row) { return row.info.hits() + row.info.misses() > 0; }

std::string Bar(const TopView& view, double ratio) {
  const auto full = static_cast<size_t>(std::lround(ratio * kBarColumns));
  return absl::StrCat("[", Styled(view, kGreen, std::string(full, '|')),
                      std::string(kBarColumns - full, ' '), "]");
}

const char* NameOf(Sort sort) {
  switch (sort) {
    case Sort::kBytes:
      return "bytes";
    case Sort::kCalls:
      return "calls";
    case Sort::kAge:
      return "age";
  }
  return "";
}

std::string Head(const TopFigures& figures, const TopView& view, size_t columns) {
  const TopRow& total = figures.total;
  const double ratio_now =
      total.calls_per_second > 0 ? total.hits_per_second / total.calls_per_second : 0;
  const std::string left = absl::StrCat("memod at ", Printable(view.address));
  const std::string right =
      absl::StrCat("every ", absl::FormatDuration(view.interval), "  ",
                   absl::FormatTime("%H:%M:%S", absl::Now(), absl::LocalTimeZone()));
  const size_t used = left.size() + right.size();
  return absl::StrCat(Styled(view, kBold, left),
                      std::string(columns > used ? columns - used : 2, ' '), right, "\n",
                      absl::StrFormat("sessions %d, instances %d, flights %d, entries %d, %s\n",
                                      figures.gauges.sessions(), figures.gauges.instances(),
                                      figures.gauges.flights(), figures.gauges.entries(),
                                      HumanBytes(figures.gauges.bytes())),
                      "calls/s ", Styled(view, kBold, PerSecond(total.calls_per_second)),
                      ", computations/s ", PerSecond(total.computations_per_second), ", saved ",
                      HumanSeconds(total.info.compute_seconds_saved()), " of computation\n",
                      "hits    ", Bar(view, ratio_now), " ",
                      total.calls_per_second > 0 ? Percent(ratio_now) : std::string("no calls"),
                      " now, ", Percent(total.hit_ratio), " in all\n");
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  lines.pop_back();  // after the last line's end
  return lines;
}

// A table of which at most `most` rows are shown; its titles are a bar across the screen.
std::string Cut(const TopView& view, const Table& table, size_t columns, size_t most) {
  std::vector<std::string> lines = Lines(table.Render(columns));
  std::string& titles = lines[0];
  if (view.colors && view.size && titles.size() < columns) titles.resize(columns, ' ');
  std::string text = absl::StrCat(Styled(view, kReverse, titles), "\n");
  const size_t rows = lines.size() - 1;
  const size_t shown = rows <= most ? rows : most - std::min<size_t>(most, 1);
  for (size_t i = 1; i <= shown; ++i) absl::StrAppend(&text, lines[i], "\n");
  if (shown < rows) absl::StrAppend(&text, "and ", rows - shown, " more\n");
  return text;
}

Table Methods(const TopFigures& figures) {
  Table table({{"SLOWEST METHODS"},
               {"MEAN", Align::kRight},
               {"COMPUTED", Align::kRight},
               {"CALLS/S", Align::kRight},
               {"HITS", Align::kRight},
               {"ENTRIES", Align::kRight},
               {"BYTES", Align::kRight}});
  for (const TopRow& row : figures.methods) {
    table.AddRow({row.name,
                  row.mean_compute_seconds > 0 ? HumanSeconds(row.mean_compute_seconds) : "-",
                  absl::StrCat(row.info.computations()), PerSecond(row.calls_per_second),
                  HasCalls(row) ? Percent(row.hit_ratio) : "-", absl::StrCat(row.info.currsize()),
                  HumanBytes(row.info.bytes())});
  }
  return table;
}

bool Before(Sort sort, const TopRow& a, const TopRow& b) {
  switch (sort) {
    case Sort::kBytes:
      return a.info.bytes() > b.info.bytes();
    case Sort::kCalls:
      return a.calls_per_second > b.calls_per_second;
    case Sort::kAge:
      return a.age > b.age;
  }
  return false;
}

Table Sessions(const TopFigures& figures, Sort sort) {
  std::vector<const TopRow*> rows;
  for (const TopRow& row : figures.sessions) rows.push_back(&row);
  std::stable_sort(rows.begin(), rows.end(),
                   [sort](const TopRow* a, const TopRow* b) { return Before(sort, *a, *b); });
  Table table({{absl::StrCat("SESSIONS BY ", sort == Sort::kBytes   ? "BYTES"
                                             : sort == Sort::kCalls ? "CALLS/S"
                                                                    : "AGE")},
               {"AGE", Align::kRight},
               {"CALLS/S", Align::kRight},
               {"HITS", Align::kRight},
               {"ENTRIES", Align::kRight},
               {"BYTES", Align::kRight}});
  for (const TopRow* row : rows) {
    // Of the state's type the last name, which tells the classes of one server apart.
    const std::string type = row->state_type.substr(row->state_type.rfind('.') + 1);
    table.AddRow({absl::StrCat(row->name, "  ", type), HumanSeconds(row->age),
                  PerSecond(row->calls_per_second), HasCalls(*row) ? Percent(row->hit_ratio) : "-",
                  absl::StrCat(row->info.currsize()), HumanBytes(row->info.bytes())});
  }
  return table;
}

}  // namespace

std::string TopText(const TopFigures& figures, const TopView& view) {
  const size_t columns = view.size ? view.size->columns : kPlainColumns;
  const std::string head = Head(figures, view, columns);
  // What is left of the screen: the head, the keys, the two bars and the empty lines before each.
  const size_t fixed = 4 + 1 + 2 + 3;
  const size_t rows = !view.size                ? figures.methods.size() + figures.sessions.size()
                      : view.size->rows > fixed ? view.size->rows - fixed
                                                : 0;
  const size_t methods =
      std::min(figures.methods.size(), rows - std::min(rows / 2, figures.sessions.size()));
  std::string text = absl::StrCat(head, "\n", Cut(view, Methods(figures), columns, methods), "\n",
                                  Cut(view, Sessions(figures, view.sort), columns, rows - methods));
  const std::string last =
      view.trouble.empty()
          ? absl::StrCat("q quit   s sort sessions (", NameOf(view.sort), ")   + - slower, faster")
          : Styled(view, kRed, Printable(view.trouble));
  if (!view.size) return text;
  // The last line at the bottom, where it does not move.
  const size_t used = std::count(text.begin(), text.end(), '\n') + 1;
  text.append(view.size->rows > used ? view.size->rows - used : 1, '\n');
  absl::StrAppend(&text, last, "\n");
  return text;
}

}  // namespace memod
