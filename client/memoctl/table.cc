#include "memod/client/memoctl/table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace memod {

namespace {

constexpr size_t kLeastWidth = 8;  // of a column that gives room to others
constexpr char kGap[] = "  ";

}  // namespace

void Table::AddRow(std::vector<std::string> cells) {
  for (std::string& cell : cells) cell = Printable(cell);
  rows_.push_back(std::move(cells));
}

std::vector<size_t> Table::Widths() const {
  std::vector<size_t> widths;
  for (const Column& column : columns_) widths.push_back(column.title.size());
  for (const auto& row : rows_) {
    for (size_t i = 0; i < widths.size(); ++i) {
      widths[i] = std::max(widths[i], DisplayWidth(row[i]));
    }
  }
  return widths;
}

std::string Table::Render(size_t width) const {
  std::vector<size_t> widths = Widths();
  size_t others = 0;
  for (size_t i = 1; i < widths.size(); ++i) others += widths[i] + std::size(kGap) - 1;
  widths[0] = std::max(kLeastWidth, width - std::min(width, others));
  Table cut = *this;
  cut.columns_[0].title = CutMiddle(cut.columns_[0].title, widths[0]);
  for (auto& row : cut.rows_) row[0] = CutMiddle(row[0], widths[0]);
  return cut.RenderAt(widths);
}

std::string Table::RenderAt(const std::vector<size_t>& widths) const {
  std::string text;
  const auto add_line = [&](auto cell_at) {
    std::string line;
    for (size_t i = 0; i < columns_.size(); ++i) {
      const std::string& cell = cell_at(i);
      const std::string padding(widths[i] - DisplayWidth(cell), ' ');
      absl::StrAppend(&line, i == 0 ? "" : kGap,
                      columns_[i].align == Align::kLeft ? cell + padding : padding + cell);
    }
    absl::StripTrailingAsciiWhitespace(&line);
    absl::StrAppend(&text, line, "\n");
  };
  add_line([&](size_t i) -> const std::string& { return columns_[i].title; });
  for (const auto& row : rows_) {
    add_line([&](size_t i) -> const std::string& { return row[i]; });
  }
  return text;
}

std::string Printable(const std::string& text) {
  std::string printable;
  for (const char c : text) {
    if (absl::ascii_iscntrl(c)) {
      absl::StrAppendFormat(&printable, "\\x%02x", static_cast<unsigned char>(c));
    } else {
      printable += c;
    }
  }
  return printable;
}

size_t DisplayWidth(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; });
}

std::string CutMiddle(const std::string& text, size_t width) {
  constexpr std::string_view kCut = "..";
  if (text.size() <= width) return text;
  if (width <= kCut.size()) return text.substr(0, width);
  // The end of a method's name tells more than its package does.
  const size_t end = (width - kCut.size()) * 2 / 3;
  const size_t begin = width - kCut.size() - end;
  return absl::StrCat(text.substr(0, begin), std::string(kCut), text.substr(text.size() - end));
}

std::string HumanBytes(int64_t bytes) {
  static constexpr std::array<const char*, 6> kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (std::abs(bytes) < 1024) return absl::StrCat(bytes, " B");
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  // From 1023.95 on, one digit would print as 1024.0.
  while (std::abs(value) >= 1023.95 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return absl::StrFormat("%.1f %s", value, kUnits[unit]);
}

std::string HumanSeconds(double seconds) {
  if (seconds <= 0) return "0s";
  if (seconds < 0.0000005) return "<1us";
  if (seconds < 0.0009995) return absl::StrFormat("%.0fus", seconds * 1e6);
  if (seconds < 0.9995) return absl::StrFormat("%.0fms", seconds * 1e3);
  if (seconds < 59.95) return absl::StrFormat("%.3gs", seconds);
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 3600) return absl::StrFormat("%dm%ds", whole / 60, whole % 60);
  return absl::StrFormat("%dh%dm", whole / 3600, whole % 3600 / 60);
}

}  // namespace memod
