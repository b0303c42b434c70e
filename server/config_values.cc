#include "memod/server/config_values.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace memod {
namespace {

using std::string_view;

template <class Predicate>
size_t CountLeading(string_view text, Predicate is) {
  return std::find_if_not(text.begin(), text.end(), is) - text.begin();
}

template <class T, size_t n>
std::optional<T> UnitOf(const std::array<std::pair<string_view, T>, n>& units, string_view name) {
  for (const auto& [unit, value] : units) {
    if (unit == name) return value;
  }
  return std::nullopt;
}

constexpr std::array<std::pair<string_view, int64_t>, 11> kSizeUnits = {{
    {"", 1},
    {"B", 1},
    {"KiB", int64_t{1} << 10},
    {"MiB", int64_t{1} << 20},
    {"GiB", int64_t{1} << 30},
    {"TiB", int64_t{1} << 40},
    {"kB", 1'000},
    {"KB", 1'000},
    {"MB", 1'000'000},
    {"GB", 1'000'000'000},
    {"TB", 1'000'000'000'000},
}};

constexpr std::array<std::pair<string_view, int64_t>, 6> kDurationUnits = {{
    {"ns", 1},
    {"us", 1'000},
    {"ms", 1'000'000},
    {"s", 1'000'000'000},
    {"m", 60'000'000'000},
    {"h", 3'600'000'000'000},
}};

bool IsIpv4(const std::string& host) {
  in_addr address;
  return inet_pton(AF_INET, host.c_str(), &address) == 1;
}

bool IsIpv6(const std::string& host) {
  in6_addr address;
  return inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

// What is all digits and dots is an address, not a name.
bool IsHost(const std::string& host) {
  const auto name = [](char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '.' || c == '_';
  };
  const auto digits = [](char c) { return absl::ascii_isdigit(c) || c == '.'; };
  if (host.empty() || CountLeading(host, name) != host.size()) return false;
  return CountLeading(host, digits) != host.size() || IsIpv4(host);
}

std::optional<int> ParsePort(string_view text) {
  const std::optional<int64_t> port = ParseInteger(text);
  if (!port || *port < 0 || *port > 65535 || text.front() == '-') return std::nullopt;
  return static_cast<int>(*port);
}

bool IsIdentifiers(string_view text, string_view others) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return absl::ascii_isalnum(c) || others.find(c) != string_view::npos;
  });
}

}  // namespace

std::optional<int64_t> ParseInteger(string_view text) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || error != std::errc() || rest != end) return std::nullopt;
  return value;
}

std::optional<int64_t> ParseSize(string_view text) {
  const size_t digits = CountLeading(text, absl::ascii_isdigit);
  const std::optional<int64_t> count = ParseInteger(text.substr(0, digits));
  const std::optional<int64_t> unit = UnitOf(kSizeUnits, text.substr(digits));
  int64_t bytes = 0;
  if (!count || !unit || __builtin_mul_overflow(*count, *unit, &bytes)) return std::nullopt;
  return bytes;
}

std::optional<Duration> ParseDuration(string_view text) {
  const size_t digits = CountLeading(text, absl::ascii_isdigit);
  const std::optional<int64_t> whole = ParseInteger(text.substr(0, digits));
  text.remove_prefix(digits);

  string_view decimals;
  if (!text.empty() && text.front() == '.') {
    decimals = text.substr(1, CountLeading(text.substr(1), absl::ascii_isdigit));
    if (decimals.empty()) return std::nullopt;
    text.remove_prefix(1 + decimals.size());
  }

  const std::optional<int64_t> unit = UnitOf(kDurationUnits, text);
  int64_t nanoseconds = 0;
  if (!whole || !unit || __builtin_mul_overflow(*whole, *unit, &nanoseconds)) return std::nullopt;
  // Thirteen decimals of an hour are below a nanosecond; 3.6e12 times 10^13 needs the 128 bits.
  __int128 fraction = 0, scale = 1;
  for (char c : decimals.substr(0, 13)) {
    fraction = fraction * 10 + (c - '0');
    scale *= 10;
  }
  if (__builtin_add_overflow(nanoseconds, static_cast<int64_t>(fraction * *unit / scale),
                             &nanoseconds)) {
    return std::nullopt;
  }
  return std::chrono::nanoseconds(nanoseconds);
}

std::optional<HostPort> ParseHostPort(string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == string_view::npos) return std::nullopt;
  const std::optional<int> port = ParsePort(text.substr(colon + 1));
  std::string host(text.substr(0, colon));
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (!port || !(bracketed ? IsIpv6(host) : IsHost(host))) return std::nullopt;
  return HostPort{std::move(host), *port};
}

bool IsListenAddress(string_view text) {
  if (!text.starts_with("unix:")) return ParseHostPort(text).has_value();
  const string_view path = text.substr(5);
  return path.starts_with("/") && path.size() < sizeof(sockaddr_un::sun_path) &&
         path.find('\0') == string_view::npos;
}

bool IsLoopback(string_view address) {
  if (address.starts_with("unix:")) return true;
  const std::optional<HostPort> parsed = ParseHostPort(address);
  if (!parsed) return false;
  in6_addr ipv6;
  if (inet_pton(AF_INET6, parsed->host.c_str(), &ipv6) == 1) return IN6_IS_ADDR_LOOPBACK(&ipv6);
  if (IsIpv4(parsed->host)) return parsed->host.starts_with("127.");
  return absl::EqualsIgnoreCase(parsed->host, "localhost");
}

bool IsMethodName(string_view text) {
  const size_t slash = text.rfind('/');
  return text.starts_with("/") && slash > 0 && IsIdentifiers(text.substr(1, slash - 1), "._") &&
         IsIdentifiers(text.substr(slash + 1), "_");
}

bool IsCacheName(string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isprint);
}

std::string MetadataNameFault(string_view name) {
  const bool reserved = name.starts_with(":") || name.starts_with("memo-") ||
                        name.starts_with("grpc-") || name == "te" || name == "content-type" ||
                        name == "user-agent" || name == "host";
  if (reserved) {
    return "want none of memod's and gRPC's own: memo-..., grpc-..., :..., te, content-type, "
           "user-agent, host";
  }
  const std::string lower = absl::AsciiStrToLower({name.data(), name.size()});
  if (!IsIdentifiers(name, "-_.")) {
    return "want a metadata name: lower case letters, digits, \"-\", \"_\", \".\"";
  }
  return lower == name ? "" : absl::StrCat("want lower case, ", Shown(lower));
}

std::string FieldPathFault(string_view path) {
  const std::vector<std::string> names =
      absl::StrSplit(absl::string_view(path.data(), path.size()), '.');
  const bool is_path = std::all_of(names.begin(), names.end(), [](string_view name) {
    return IsIdentifiers(name, "_") && !absl::ascii_isdigit(name.front());
  });
  return is_path ? "" : "want a field path such as \"options.trace_id\"";
}

bool IsTarget(string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isgraph);
}

bool IsPath(string_view text) { return text.find('\0') == string_view::npos; }

std::string ServiceNameFault(string_view text) {
  return IsIdentifiers(text, "._") ? "" : "want a service name such as \"pricing.v1.Pricer\"";
}

std::string Shown(string_view text) {
  return absl::StrCat("\"", absl::Utf8SafeCEscape({text.data(), text.size()}), "\"");
}

}  // namespace memod
