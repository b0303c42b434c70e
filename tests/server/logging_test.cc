#include "memod/server/logging.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"

namespace memod {
namespace {

using Json = nlohmann::ordered_json;

// What `log` writes to stderr.
std::string Written(LogFormat format, const std::function<void()>& log,
                    LogLevel level = LogLevel::info) {
  InitLogging(level, format);
  testing::internal::CaptureStderr();
  log();
  return testing::internal::GetCapturedStderr();
}

// The one line that it writes, less its time.
std::string TextOf(const std::function<void()>& log) {
  const std::string line = Written(LogFormat::kText, log);
  std::string shape = line.substr(0, 25);
  std::replace_if(shape.begin(), shape.end(), absl::ascii_isdigit, '0');
  EXPECT_EQ(shape, "0000-00-00T00:00:00.000Z ");
  EXPECT_EQ(line.find('\n'), line.size() - 1) << line;
  return line.substr(25, line.size() - 26);
}

Json JsonOf(const std::function<void()>& log) {
  const std::string line = Written(LogFormat::kJson, log);
  EXPECT_EQ(line.find('\n'), line.size() - 1) << line;
  return Json::parse(line);
}

std::string Utc(std::time_t time) {
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", std::gmtime(&time));
  return text;
}

// Texts that would end a line, a string or a terminal's patience, and how they read in JSON.
struct Nasty {
  std::string text;
  std::string read;
};
const std::vector<Nasty>& NastyTexts() {
  static const auto& texts = *new std::vector<Nasty>{
      {"", ""},
      {"say \"hi\"", "say \"hi\""},
      {"back\\slash", "back\\slash"},
      {"one\ntwo\r\nthree\ttab", "one\ntwo\r\nthree\ttab"},
      {std::string("nul\0nul", 7), std::string("nul\0nul", 7)},
      {"\x1b[31mred\x07\x7f", "\x1b[31mred\x07\x7f"},
      {"delete\x7f", "delete\x7f"},
      {"Zürich 東京 \xf0\x9f\x8c\xa6", "Zürich 東京 \xf0\x9f\x8c\xa6"},
      {"\xc2\x85 \xe2\x80\xa8", "\xc2\x85 \xe2\x80\xa8"},  // two more that end a line to some
      {"\xff\xfe bytes", "\xef\xbf\xbd\xef\xbf\xbd bytes"},
      {"cut off \xe6\x9d", "cut off \xef\xbf\xbd"},
      {"a=b {} %s {0}", "a=b {} %s {0}"},
      {"\", \"level\": \"error", "\", \"level\": \"error"},
  };
  return texts;
}

TEST(TextLog, HasTimeLevelMessageFields) {
  const std::string id = "s-17";
  EXPECT_EQ(TextOf([&] {
              Log(LogLevel::info, "session closed", {{"session", id}, {"entries", 3}});
            }),
            "info  session closed session=s-17 entries=3");
  EXPECT_EQ(TextOf([] { Log(LogLevel::err, "failed"); }), "error failed");
  EXPECT_EQ(TextOf([] { spdlog::warn("disk {} full", 7); }), "warn  disk 7 full");
}

TEST(TextLog, QuotesValuesThatCouldBeMistaken) {
  EXPECT_EQ(TextOf([] {
              Log(LogLevel::info, "m",
                  {{"a", "two words"}, {"b", ""}, {"c", "x=y"}, {"d", "\"q\""}, {"e", "/p.S/M"}});
            }),
            R"(info  m a="two words" b="" c="x=y" d="\"q\"" e=/p.S/M)");
}

TEST(TextLog, NoTextBreaksOutOfItsLine) {
  for (const Nasty& nasty : NastyTexts()) {
    for (const std::string& line : {TextOf([&] {
                                      Log(LogLevel::info, nasty.text, {{"field", nasty.text}});
                                    }),
                                    TextOf([&] { spdlog::info("{}", nasty.text); })}) {
      for (char c : line) EXPECT_TRUE(c >= ' ' && c <= '~') << line;
    }
  }
  EXPECT_EQ(TextOf([] { Log(LogLevel::info, "a\n2026 error forged"); }),
            R"(info  "a\n2026 error forged")");
}

TEST(JsonLog, HasTimeLevelMessageFieldsInThatOrder) {
  const Json line = JsonOf([] {
    Log(LogLevel::info, "session closed",
        {{"session", "s-17"}, {"entries", 3}, {"seconds", 0.5}, {"last", true}});
  });
  EXPECT_EQ(line.size(), 7u);
  Json without_time = line;
  without_time.erase("time");
  EXPECT_EQ(without_time.dump(), R"({"level":"info","message":"session closed",)"
                                 R"("session":"s-17","entries":3,"seconds":0.5,"last":true})");
  EXPECT_EQ(line.begin().key(), "time");
}

TEST(JsonLog, AnyTextIsValidAndReadsBack) {
  for (const Nasty& nasty : NastyTexts()) {
    const Json line = JsonOf([&] { Log(LogLevel::info, nasty.text, {{"field", nasty.text}}); });
    EXPECT_EQ(line["message"], nasty.read);
    EXPECT_EQ(line["field"], nasty.read);
    EXPECT_EQ(line["level"], "info");
    EXPECT_EQ(JsonOf([&] { spdlog::info("{}", nasty.text); })["message"], nasty.read);
  }
}

TEST(JsonLog, EveryByteIsValid) {
  for (int c = 0; c < 256; ++c) {
    const std::string text(1, static_cast<char>(c));
    const Json line = JsonOf([&] { Log(LogLevel::info, text); });
    EXPECT_EQ(line["message"], c < 0x80 ? text : "\xef\xbf\xbd");
  }
}

TEST(JsonLog, NumbersKeepTheirValue) {
  const Json line = JsonOf([] {
    Log(LogLevel::info, "m",
        {{"min", std::numeric_limits<int64_t>::min()},
         {"max", std::numeric_limits<uint64_t>::max()},
         {"nan", std::numeric_limits<double>::quiet_NaN()}});
  });
  EXPECT_EQ(line["min"], std::numeric_limits<int64_t>::min());
  EXPECT_EQ(line["max"], std::numeric_limits<uint64_t>::max());
  EXPECT_TRUE(line["nan"].is_null());
}

TEST(JsonLog, FieldCannotTakeThePlaceOfLevel) {
  const std::string line = Written(LogFormat::kJson, [] {
    Log(LogLevel::info, "m", {{"level", "error"}, {"a", 1}, {"a", 2}});
  });
  EXPECT_NE(line.find(R"("level":"info","message":"m","a":1})"), std::string::npos) << line;
}

TEST(JsonLog, SpdlogsOwnCallsHaveNoFields) {
  const std::string lines = Written(LogFormat::kJson, [] {
    Log(LogLevel::info, "first", {{"session", "s-1"}});
    spdlog::info("second");
  });
  const std::vector<std::string> split = absl::StrSplit(lines, '\n', absl::SkipEmpty());
  ASSERT_EQ(split.size(), 2u);
  EXPECT_TRUE(Json::parse(split[0]).contains("session"));
  EXPECT_FALSE(Json::parse(split[1]).contains("session"));
}

TEST(Log, TimeIsUtcNowWhereverTheServerIs) {
  ASSERT_EQ(setenv("TZ", "FAR-11:30", 1), 0);
  tzset();
  const std::time_t before = std::time(nullptr);
  const std::string time = JsonOf([] { Log(LogLevel::info, "m"); })["time"];
  const std::time_t after = std::time(nullptr);
  unsetenv("TZ");
  tzset();
  ASSERT_EQ(time.size(), 24u);
  EXPECT_GE(time.substr(0, 19), Utc(before));
  EXPECT_LE(time.substr(0, 19), Utc(after));
  EXPECT_EQ(time.back(), 'Z');
}

TEST(Log, LevelDecidesWhatIsWritten) {
  const auto all = [] {
    Log(LogLevel::trace, "t");
    Log(LogLevel::debug, "d");
    Log(LogLevel::info, "i");
    Log(LogLevel::warn, "w");
    Log(LogLevel::err, "e");
  };
  const auto lines = [&](LogLevel level) {
    std::string messages;
    for (const auto& line : absl::StrSplit(Written(LogFormat::kText, all, level), '\n')) {
      if (!line.empty()) messages += line.back();
    }
    return messages;
  };
  EXPECT_EQ(lines(LogLevel::trace), "tdiwe");
  EXPECT_EQ(lines(LogLevel::warn), "we");
  EXPECT_EQ(lines(LogLevel::err), "e");
  EXPECT_EQ(lines(LogLevel::off), "");
}

TEST(Log, LinesOfManyThreadsStayWholeWithTheirOwnFields) {
  constexpr int kThreads = 4, kLines = 500;
  const std::string lines = Written(LogFormat::kJson, [] {
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([t] {
        const std::string message = std::to_string(t);
        for (int i = 0; i < kLines; ++i) Log(LogLevel::info, message, {{"thread", t}});
      });
    }
    for (std::thread& thread : threads) thread.join();
  });
  const std::vector<std::string> split = absl::StrSplit(lines, '\n', absl::SkipEmpty());
  ASSERT_EQ(split.size(), size_t{kThreads * kLines});
  for (const std::string& line : split) {
    const Json json = Json::parse(line);
    EXPECT_EQ(json["message"], std::to_string(json["thread"].get<int>()));
  }
}

// stderr is a pipe that is full, until the test reads it.
class UnreadLogTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(pipe(ends_), 0);
    InitLogging(LogLevel::info, LogFormat::kText);
    stderr_ = dup(STDERR_FILENO);
    dup2(ends_[1], STDERR_FILENO);
    fcntl(ends_[1], F_SETFL, O_NONBLOCK);
    while (write(ends_[1], "....", 4) > 0) continue;
    fcntl(ends_[1], F_SETFL, 0);
  }
  void TearDown() override {
    dup2(stderr_, STDERR_FILENO);
    for (const int fd : {stderr_, ends_[0], ends_[1]}) close(fd);
  }
  std::string Read() {
    std::string text(1 << 20, 0);
    text.resize(std::max<ssize_t>(0, read(ends_[0], text.data(), text.size())));
    text.erase(0, text.find_first_not_of('.'));
    return text;
  }

 private:
  int ends_[2] = {-1, -1};
  int stderr_ = -1;
};

TEST_F(UnreadLogTest, HoldsNobodyUpAndSaysHowMuchIsMissing) {
  for (int i = 0; i < 1000; ++i) Log(LogLevel::info, "unread", {{"line", i}});
  EXPECT_EQ(Read(), "");
  Log(LogLevel::info, "read", {{"line", 1000}});
  const std::string lines = Read();
  EXPECT_NE(lines.find(" warn  nobody read the log, lines left out lines=1000\n"),
            std::string::npos)
      << lines;
  EXPECT_NE(lines.find(" info  read line=1000\n"), std::string::npos) << lines;
  Log(LogLevel::info, "on");
  EXPECT_EQ(Read().substr(25), "info  on\n");
}

}  // namespace
}  // namespace memod
