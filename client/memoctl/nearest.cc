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
  std::sort(names.begin(), names.end());
  std::vector<std::pair<size_t, std::string>> by_distance;
  for (const std::string& name : names) by_distance.emplace_back(EditDistance(unknown, name), name);
  std::sort(by_distance.begin(), by_distance.end());
  const size_t least = by_distance[0].first;
  if (least > std::max<size_t>(3, unknown.size() / 4)) {
    const size_t left = names.size() - std::min(names.size(), kMostOfAll);
    names.resize(names.size() - left);
    return absl::StrCat("; there is ", absl::StrJoin(names, ", "),
                        left > 0 ? absl::StrCat(" and ", left, " more") : "");
  }
  std::vector<std::string> near;
  for (const auto& [distance, name] : by_distance) {
    if (near.size() < kMost && distance <= least + 1) near.push_back(name);
  }
  const std::string last = std::move(near.back());
  near.pop_back();
  return absl::StrCat("; did you mean ", absl::StrJoin(near, ", "), near.empty() ? "" : " or ",
                      last, "?");
}

}  // namespace memod
