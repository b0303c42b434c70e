// Logging: one line per event to stderr, as text for people or JSON for machines. Times are UTC.
//
//   Log(LogLevel::info, "session closed", {{"session", id}, {"entries", 3}});
//   text: 2026-11-20T12:00:00.123Z info  session closed session=s-17 entries=3
//   json: {"time":"2026-11-20T12:00:00.123Z","level":"info","message":"session closed",
//          "session":"s-17","entries":3}                                   (on one line)
//
// Whatever bytes a message or a value holds, a line is one line, and its JSON is valid: what is not
// printable is escaped, what is not UTF-8 becomes U+FFFD. spdlog's own calls give the same lines,
// without fields. Where nobody reads stderr for a second, lines are left out until somebody does, and
// then counted in a line. Thread-safe once initialized.
#pragma once

#include <spdlog/common.h>

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <variant>

namespace memod {

using LogLevel = spdlog::level::level_enum;
enum class LogFormat { kText, kJson };

// Before any other thread logs. Until then lines go where spdlog sends them, without fields.
void InitLogging(LogLevel level, LogFormat format);

// A text is not copied: it must outlive the call of Log.
class LogValue {
 public:
  LogValue(bool value) : value_(value) {}
  LogValue(std::signed_integral auto value) : value_(int64_t{value}) {}
  LogValue(std::unsigned_integral auto value) : value_(uint64_t{value}) {}
  LogValue(std::floating_point auto value) : value_(static_cast<double>(value)) {}
  LogValue(const char* value) : value_(std::string_view(value)) {}
  // std::string, std::string_view, absl::string_view
  template <class Text>
  requires requires(const Text& t) { std::string_view(t.data(), t.size()); }
  LogValue(const Text& value) : value_(std::string_view(value.data(), value.size())) {}

  using Variant = std::variant<bool, int64_t, uint64_t, double, std::string_view>;
  const Variant& get() const { return value_; }

 private:
  Variant value_;
};

// `name` is a word of ours, as in "session"; not time, level or message.
struct LogField {
  std::string_view name;
  LogValue value;
};

void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {});

}  // namespace memod
