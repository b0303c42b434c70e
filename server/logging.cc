#include "memod/server/logging.h"

#include <poll.h>
#include <spdlog/fmt/chrono.h>
#include <spdlog/formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>

namespace memod {
namespace {

using Json = nlohmann::json;

// The fields of the line that this thread is writing. spdlog has no place for them in a message,
// but formats it on the thread that logs it, before the call returns: there is no asynchronous
// logger.
thread_local std::span<const LogField> fields_of_line;

constexpr std::array<std::string_view, spdlog::level::n_levels> kLevelNames = {
    "trace", "debug", "info", "warn", "error", "critical", "off"};

std::string Time(spdlog::log_clock::time_point time) {
  const auto ms = std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch()).count();
  // There may be 100,000 lines in the same second.
  thread_local std::time_t second = -1;
  thread_local std::string until_second;
  if (second != ms / 1000) {
    second = ms / 1000;
    until_second = fmt::format("{:%Y-%m-%dT%H:%M:%S}", fmt::gmtime(second));
  }
  return fmt::format("{}.{:03}Z", until_second, ms % 1000);
}

// ASCII only: nothing a terminal obeys, nothing anyone takes for the end of a line.
std::string Dump(const Json& json) {
  constexpr int kNoIndent = -1;
  constexpr bool kAscii = true;
  return json.dump(kNoIndent, ' ', kAscii, Json::error_handler_t::replace);
}

// Whether it is printable ASCII, and has none of these.
bool IsPlain(std::string_view text, std::string_view mistakable) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return c >= ' ' && c <= '~' && mistakable.find(c) == std::string_view::npos;
  });
}

// Nearly all that is logged is plain, which needs no library, and there may be 100,000 lines a second.
std::string JsonString(std::string_view text) {
  return IsPlain(text, "\"\\") ? fmt::format("\"{}\"", text) : Dump(text);
}

std::string ToJson(const LogValue& value) {
  if (const auto* number = std::get_if<int64_t>(&value.get())) return fmt::to_string(*number);
  if (const auto* text = std::get_if<std::string_view>(&value.get())) return JsonString(*text);
  return std::visit([](const auto& v) { return Dump(Json(v)); }, value.get());
}

// As it is where that is unmistakable, else as a JSON string.
std::string Quoted(std::string_view text, std::string_view mistakable) {
  return !text.empty() && IsPlain(text, mistakable) ? std::string(text) : JsonString(text);
}

std::string TextLine(const spdlog::details::log_msg& msg) {
  const std::string_view message(msg.payload.data(), msg.payload.size());
  std::string line = fmt::format("{} {:<5} {}", Time(msg.time), kLevelNames[msg.level],
                                 message.empty() ? "" : Quoted(message, ""));
  for (const LogField& field : fields_of_line) {
    const auto* text = std::get_if<std::string_view>(&field.value.get());
    line += fmt::format(" {}={}", field.name, text ? Quoted(*text, " \"=\\") : ToJson(field.value));
  }
  return line;
}

// No name comes twice in a line of JSON.
bool IsTaken(std::string_view name, std::span<const LogField> before) {
  return name == "time" || name == "level" || name == "message" ||
         std::any_of(before.begin(), before.end(),
                     [&](const LogField& field) { return field.name == name; });
}

std::string JsonLine(const spdlog::details::log_msg& msg) {
  const std::string_view message(msg.payload.data(), msg.payload.size());
  std::string line = fmt::format(R"({{"time":"{}","level":"{}","message":{})", Time(msg.time),
                                 kLevelNames[msg.level], JsonString(message));
  for (size_t i = 0; i < fields_of_line.size(); ++i) {
    const LogField& field = fields_of_line[i];
    if (!IsTaken(field.name, fields_of_line.first(i))) {
      line += fmt::format(R"(,"{}":{})", field.name, ToJson(field.value));
    }
  }
  return line + '}';
}

class LineFormatter : public spdlog::formatter {
 public:
  using Line = std::string (*)(const spdlog::details::log_msg&);
  explicit LineFormatter(Line line) : line_(line) {}

  void format(const spdlog::details::log_msg& msg, spdlog::memory_buf_t& dest) override {
    const std::string line = line_(msg) + '\n';
    dest.append(line.data(), line.data() + line.size());
  }
  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<LineFormatter>(line_);
  }

 private:
  const Line line_;
};

// Who reads stderr may stop doing so (a terminal, a pager, a log driver that hangs). Lines are written
// by the threads that serve, so each would hang with the next one that it has to say: such lines are
// left out, and counted where the log goes on.
class StderrSink : public spdlog::sinks::base_sink<std::mutex> {
  // For a reader that is merely slow.
  static constexpr int kPatienceMs = 1000;

  void sink_it_(const spdlog::details::log_msg& msg) override {
    pollfd room{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
    if (poll(&room, 1, left_out_ > 0 ? 0 : kPatienceMs) == 0) {
      ++left_out_;
      return;
    }
    if (const int64_t left_out = std::exchange(left_out_, 0); left_out > 0) {
      const LogField lines[] = {{"lines", left_out}};
      const auto fields = std::exchange(fields_of_line, lines);
      Write({msg.time, {}, msg.logger_name, LogLevel::warn, "nobody read the log, lines left out"});
      fields_of_line = fields;
    }
    Write(msg);
  }

  void Write(const spdlog::details::log_msg& msg) {
    spdlog::memory_buf_t line;
    formatter_->format(msg, line);
    std::fwrite(line.data(), 1, line.size(), stderr);
  }

  void flush_() override { std::fflush(stderr); }

  int64_t left_out_ = 0;
};

}  // namespace

void InitLogging(LogLevel level, LogFormat format) {
  auto logger = std::make_shared<spdlog::logger>("memod", std::make_shared<StderrSink>());
  logger->set_formatter(
      std::make_unique<LineFormatter>(format == LogFormat::kJson ? JsonLine : TextLine));
  logger->set_level(level);
  spdlog::set_default_logger(std::move(logger));
}

void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  fields_of_line = {fields.begin(), fields.size()};
  spdlog::default_logger_raw()->log(level, spdlog::string_view_t(message.data(), message.size()));
  fields_of_line = {};
}

}  // namespace memod
