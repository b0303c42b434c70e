// How values are written in a configuration: numbers, sizes, durations, addresses.
//
// Every function takes the whole text or nothing: nullopt (false) for anything else in it, spaces
// included, and for what does not fit the type.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "memod/cache/time.h"

namespace memod {

// Decimal digits, with a minus sign or without.
std::optional<int64_t> ParseInteger(std::string_view text);

// Bytes: "4096", "64KiB", "10MB"; units B, KiB, MiB, GiB, TiB and kB, KB, MB, GB, TB.
std::optional<int64_t> ParseSize(std::string_view text);

// "100ms", "1.5s", "5m", "1h"; units ns, us, ms, s, m, h. Digits below a nanosecond are dropped.
std::optional<Duration> ParseDuration(std::string_view text);

// "host:port" or "[ipv6]:port", port 0 to 65535.
struct HostPort {
  std::string host;  // without brackets
  int port;
};
std::optional<HostPort> ParseHostPort(std::string_view text);

// The same, or "unix:/path" with an absolute path that fits a socket's address.
bool IsListenAddress(std::string_view text);

// Of a valid address, whether only this machine can reach it: unix:, 127.0.0.0/8, ::1, localhost.
bool IsLoopback(std::string_view address);

// "/pkg.Service/Method"
bool IsMethodName(std::string_view text);

// Printable ASCII characters, at least one.
bool IsCacheName(std::string_view text);

// What is wrong with the name of a piece of metadata, as in: want lower case, "x-tenant". Empty:
// nothing. memod's own names and gRPC's are wrong here.
std::string MetadataNameFault(std::string_view name);

// The same of the path to a field, "options.trace_id"; not whether there is such a field.
std::string FieldPathFault(std::string_view path);

// For messages: in double quotes, on one line.
std::string Shown(std::string_view text);

// What gRPC may resolve: not empty, no spaces and no control characters.
bool IsTarget(std::string_view text);

// Of a file, or empty: without a zero byte.
bool IsPath(std::string_view text);

// "pkg.Service". Empty: nothing is wrong with it; else what, as in: want a service name ...
std::string ServiceNameFault(std::string_view text);

}  // namespace memod
