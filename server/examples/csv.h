// CSV text as in RFC 4180, with a header line, as columns of text.
//
// LF or CRLF line ends, also mixed; a UTF-8 byte order mark, blank lines at the end and a last line
// without an end are fine. Quoted cells may hold commas, line ends and doubled quotes. Spaces
// belong to their cell, and a cell in quotes is no different from one without.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace memod::examples {

// The cells of a column, back to back in one string: a cell costs its text and 8 bytes. A value.
class CsvColumn {
 public:
  explicit CsvColumn(std::string name) : name_(std::move(name)) {}

  const std::string& name() const { return name_; }
  size_t size() const { return ends_.size(); }
  // The cell of row `i` < size(). Valid until the next Append.
  std::string_view operator[](size_t i) const;

  void Append(std::string_view cell);
  void ShrinkToFit();

 private:
  std::string name_;
  std::string text_;
  std::vector<size_t> ends_;  // where each cell ends in text_
};

// At least one column, all of one size, in the order of the header. Keeps nothing of `text`.
//
// INVALID_ARGUMENT, as in `line 3, column 17: ...`, lines and their characters counted from 1: no
// header; an empty or repeated column name, or more than 10,000; a row of more or fewer cells than
// the header; a quote that is not closed, or followed by text, or within an unquoted cell; a
// carriage return without a line feed outside of quotes; a NUL.
absl::StatusOr<std::vector<CsvColumn>> ParseCsv(std::string_view text);

}  // namespace memod::examples
