// What memoctl prints for people.
#pragma once

#include <cstdint>
#include <string>
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

  // One cell per column.
  void AddRow(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

  // The titles and the rows, each line ended, none with trailing spaces.
  std::string Render() const;

 private:
  std::vector<size_t> Widths() const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// "512 B", "1.2 KiB", "3.0 GiB".
std::string HumanBytes(int64_t bytes);
// No more than is worth knowing: "34ms", "2.45s", "3m2s", "26h10m".
std::string HumanSeconds(double seconds);

}  // namespace memod
