#include "memod/server/examples/csv.h"

#include <algorithm>

#include "absl/container/btree_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace memod::examples {
namespace {

constexpr size_t kMaxColumns = 10'000;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool IsContinuationByte(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

std::string_view WithoutBlankEnd(std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(text.ends_with("\r\n") ? 2 : 1);
  return text;
}

// Goes over the text once. Between calls, `at_` is where a cell begins, or the end of one.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  absl::StatusOr<std::vector<CsvColumn>> Parse() {
    if (size_t nul = text_.find('\0'); nul != text_.npos) return Error(nul, "NUL byte");
    if (text_.empty()) return Error(0, "no header line");
    if (absl::Status status = ReadHeader(); !status.ok()) return status;
    while (at_ < text_.size()) {
      if (absl::Status status = ReadRow(); !status.ok()) return status;
    }
    for (CsvColumn& column : columns_) column.ShrinkToFit();
    return std::move(columns_);
  }

 private:
  absl::Status ReadHeader() {
    absl::btree_set<std::string> names;
    do {
      const size_t begin = at_;
      if (columns_.size() == kMaxColumns) {
        return Error(begin, absl::StrCat("more than ", kMaxColumns, " columns"));
      }
      if (absl::Status status = ReadCell(); !status.ok()) return status;
      if (cell_.empty()) return Error(begin, "empty column name");
      if (!names.emplace(cell_).second) return Error(begin, "repeated column name");
      columns_.emplace_back(std::string(cell_));
    } while (SkipComma());
    SkipLineEnd();
    return absl::OkStatus();
  }

  absl::Status ReadRow() {
    size_t cells = 0;
    do {
      if (cells == columns_.size()) {
        return Error(at_, absl::StrCat("cell ", cells + 1, ", the header has ", cells));
      }
      if (absl::Status status = ReadCell(); !status.ok()) return status;
      columns_[cells++].Append(cell_);
    } while (SkipComma());
    if (cells < columns_.size()) {
      return Error(at_, absl::StrCat("the row ends after ", cells, cells == 1 ? " cell" : " cells",
                                     ", the header has ", columns_.size()));
    }
    SkipLineEnd();
    return absl::OkStatus();
  }

  // Leaves the cell's value in cell_, which is valid until the next call.
  absl::Status ReadCell() {
    return at_ < text_.size() && text_[at_] == '"' ? ReadQuoted() : ReadUnquoted();
  }

  absl::Status ReadUnquoted() {
    const size_t begin = at_;
    for (; !AtCellEnd(); ++at_) {
      if (text_[at_] == '"') return Error(at_, "quote within an unquoted cell");
      if (text_[at_] == '\r') return Error(at_, "carriage return without a line feed");
    }
    cell_ = text_.substr(begin, at_ - begin);
    return absl::OkStatus();
  }

  absl::Status ReadQuoted() {
    const size_t begin = at_++;
    unquoted_.clear();
    while (true) {
      const size_t quote = text_.find('"', at_);
      if (quote == text_.npos) return Error(begin, "the quote is not closed");
      unquoted_.append(text_, at_, quote - at_);
      at_ = quote + 1;
      if (at_ == text_.size() || text_[at_] != '"') break;
      unquoted_ += '"';
      ++at_;
    }
    if (!AtCellEnd()) return Error(at_, "text after a closing quote");
    cell_ = unquoted_;
    return absl::OkStatus();
  }

  bool AtCellEnd() const {
    return at_ == text_.size() || text_[at_] == ',' || text_[at_] == '\n' ||
           (text_[at_] == '\r' && text_.substr(at_).starts_with("\r\n"));
  }

  bool SkipComma() {
    if (at_ == text_.size() || text_[at_] != ',') return false;
    ++at_;
    return true;
  }

  void SkipLineEnd() {
    if (at_ < text_.size()) at_ += text_[at_] == '\r' ? 2 : 1;
  }

  absl::Status Error(size_t at, const std::string& what) const {
    const std::string_view before = text_.substr(0, at);
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const std::string_view in_line = before.substr(before.rfind('\n') + 1);  // npos + 1 is 0
    const auto characters =
        in_line.size() - std::count_if(in_line.begin(), in_line.end(), IsContinuationByte);
    return absl::InvalidArgumentError(
        absl::StrCat("line ", line, ", column ", characters + 1, ": ", what));
  }

  const std::string_view text_;
  size_t at_ = 0;
  std::string_view cell_;
  std::string unquoted_;
  std::vector<CsvColumn> columns_;
};

}  // namespace

std::string_view CsvColumn::operator[](size_t i) const {
  const size_t begin = i == 0 ? 0 : ends_[i - 1];
  return std::string_view(text_).substr(begin, ends_[i] - begin);
}

void CsvColumn::Append(std::string_view cell) {
  text_ += cell;
  ends_.push_back(text_.size());
}

void CsvColumn::ShrinkToFit() {
  text_.shrink_to_fit();
  ends_.shrink_to_fit();
}

absl::StatusOr<std::vector<CsvColumn>> ParseCsv(std::string_view text) {
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  return Parser(WithoutBlankEnd(text)).Parse();
}

}  // namespace memod::examples
