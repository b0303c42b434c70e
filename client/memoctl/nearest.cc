#include "memod/client/memoctl/nearest.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace memod {
namespace {

constexpr size_t kMost = 3;       // of near names
constexpr size_t kMostOfAll = 8;  // where none is near

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

std::string Suggestion(std::string_view unknown, std::vector<std::string> names) {
  if (names.empty()) return "";
  std::vector<std::pair<size_t, std::string>> by_distance;
  for (std::string& name : names) {
    by_distance.emplace_back(EditDistance(unknown, name), std::move(name));
  }
  std::sort(by_distance.begin(), by_distance.end());
  const size_t least = by_distance[0].first;
  const bool near = least <= std::max<size_t>(3, unknown.size() / 4);
  std::vector<std::string> named;
  for (auto& [distance, name] : by_distance) {
    if (named.size() == (near ? kMost : kMostOfAll) || (near && distance > least + 1)) break;
    named.push_back(std::move(name));
  }
  if (!near) {
    const size_t left = by_distance.size() - named.size();
    return absl::StrCat("; there is ", absl::StrJoin(named, ", "),
                        left > 0 ? absl::StrCat(" and ", left, " more") : "");
  }
  const std::string last = std::move(named.back());
  named.pop_back();
  return absl::StrCat("; did you mean ", absl::StrJoin(named, ", "), named.empty() ? "" : " or ",
                      last, "?");
}

}  // namespace memod
