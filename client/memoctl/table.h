// What memoctl prints for people.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace memod {

// Columns that line up, two spaces apart; numbers to the right.
class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // One cell per column, shown as Printable.
  void AddRow(std::vector<std::string> cells);

  // The titles and the rows, each line ended, none with trailing spaces.
  std::string Render() const { return RenderAt(Widths()); }
  // As Render, but as wide as `width`: the first column takes what the others leave, and its cells
  // are cut in the middle if need be. The others are never cut.
  std::string Render(size_t width) const;

 private:
  std::vector<size_t> Widths() const;
  std::string RenderAt(const std::vector<size_t>& widths) const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// Control characters, which a terminal would obey, as in \x1b.
std::string Printable(const std::string& text);
// Characters of a UTF-8 text, each of which is taken to be one column wide.
size_t DisplayWidth(std::string_view text);
// "/memo.ex..dder/Calculate": the beginning and the end of ASCII text, `width` wide at the
// most.
std::string CutMiddle(const std::string& text, size_t width);

// "512 B", "1.2 KiB", "3.0 GiB".
std::string HumanBytes(int64_t bytes);
// No more than is worth knowing: "34ms", "2.45s", "3m2s", "26h10m".
std::string HumanSeconds(double seconds);

}  // namespace memod
