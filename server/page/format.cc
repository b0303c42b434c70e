#include "memod/server/page/format.h"

#include <array>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace memod::page {
namespace {

// From a minute on.
std::string Long(int64_t whole) {
  if (whole < 3600) return absl::StrFormat("%d min %d s", whole / 60, whole % 60);
  if (whole < 86400) return absl::StrFormat("%d h %d min", whole / 3600, whole % 3600 / 60);
  return absl::StrFormat("%s d %d h", Count(whole / 86400), whole % 86400 / 3600);
}

}  // namespace

std::string Escape(std::string_view text) {
  return absl::StrReplaceAll(
      std::string(text),
      {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}, {"'", "&#39;"}});
}

std::string Count(int64_t n) {
  std::string digits = absl::StrCat(n);
  const int first = n < 0 ? 1 : 0;
  for (int i = static_cast<int>(digits.size()) - 3; i > first; i -= 3) digits.insert(i, 1, ',');
  return digits;
}

std::string Bytes(int64_t bytes) {
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

std::string Seconds(double seconds) {
  if (seconds <= 0) return "0 s";
  if (seconds < 0.0000005) return "&lt;1 µs";
  if (seconds < 0.0009995) return absl::StrFormat("%.0f µs", seconds * 1e6);
  if (seconds < 0.9995) return absl::StrFormat("%.0f ms", seconds * 1e3);
  if (seconds < 59.95) return absl::StrFormat("%.1f s", seconds);
  return Long(std::llround(seconds));
}

std::string Age(double seconds) {
  const auto whole = static_cast<int64_t>(seconds);
  if (whole < 1) return "&lt;1 s";
  return whole < 60 ? absl::StrCat(whole, " s") : Long(whole);
}

std::string Share(int64_t part, int64_t whole) {
  if (whole == 0) return "–";
  // Neither a rounded 100 % nor a rounded 0 %: that would hide the one call that differs.
  const double percent = 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  if (part < whole && percent > 99.9) return "&gt;99.9 %";
  if (part > 0 && percent < 0.1) return "&lt;0.1 %";
  return absl::StrFormat("%.1f %%", percent);
}

}  // namespace memod::page
