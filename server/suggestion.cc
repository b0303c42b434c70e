#include "memod/server/suggestion.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace memod {
namespace {

// The least number of single characters to put in, take out or replace.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string Suggestion(std::string_view unknown, const std::vector<std::string>& names,
                       std::string_view prefix) {
  const auto distance = [&](const std::string& name) { return EditDistance(unknown, name); };
  const std::string& nearest = *std::min_element(
      names.begin(), names.end(),
      [&](const std::string& a, const std::string& b) { return distance(a) < distance(b); });
  const std::string before(prefix);
  if (distance(nearest) <= std::min<size_t>(3, unknown.size() / 2)) {
    return absl::StrCat("; did you mean ", before, nearest, "?");
  }
  return absl::StrCat("; want one of ", before, absl::StrJoin(names, ", " + before));
}

}  // namespace memod
