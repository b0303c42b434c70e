#include "memod/client/memoctl/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "memod/client/memoctl/nearest.h"

namespace memod {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

CommandSyntax Program() {
  const ArgumentSyntax output{{"-o", "--output"}, "how", "FORMAT", {"table", "json"}};
  const ArgumentSyntax session{{"--session"}, "whose", "SESSION"};
  const ArgumentSyntax file{{"--file"}, "from", "FILE"};
  const ArgumentSyntax open{{"--open"}, "opens", "TYPE", {}, true};
  const ArgumentSyntax method{{}, "which", "METHOD"};
  const ArgumentSyntax fields{{}, "fields", "TEXT", {}, true};
  return {"memoctl",
          "",
          {output, {{"--version"}, "tells"}},
          {},
          {{"call", "calls", {session, file, open}, {method, fields}, {}},
           {"clear", "clears", {session}, {}, {}},
           {"watch", "repeats", {}, {}, {{"info", "shows", {session}, {}, {}}}}}};
}

std::vector<std::string> Offered(std::vector<std::string> words) {
  return Complete(Program(), std::move(words),
                  [](const std::string& value, const std::vector<std::string>&) {
                    if (value == "METHOD") return std::vector<std::string>{"/a.B/C", "a.B/D"};
                    if (value == "SESSION") return std::vector<std::string>{"s1", "t2"};
                    return std::vector<std::string>{};
                  })
      .lines;
}

TEST(Completion, OffersCommandsWithWhatTheyDo) {
  EXPECT_THAT(Offered({""}), ElementsAre("call\tcalls", "clear\tclears", "watch\trepeats"));
  EXPECT_THAT(Offered({}), Offered({""}));
  EXPECT_THAT(Offered({"cl"}), ElementsAre("clear\tclears"));
  EXPECT_THAT(Offered({"-o", "json", "w"}), ElementsAre("watch\trepeats"));
  EXPECT_THAT(Offered({"watch", ""}), ElementsAre("info\tshows"));
}

TEST(Completion, OffersOptionsOfTheCommandAndOfThoseAbove) {
  EXPECT_THAT(Offered({"clear", "--"}),
              ElementsAre("--output\thow", "--version\ttells", "--session\twhose"));
  EXPECT_THAT(Offered({"watch", "info", "--s"}), ElementsAre("--session\twhose"));
  EXPECT_THAT(Offered({"--s"}), IsEmpty());
}

TEST(Completion, OffersWhatAnOptionTakes) {
  EXPECT_THAT(Offered({"-o", ""}), ElementsAre("table", "json"));
  EXPECT_THAT(Offered({"clear", "--output", "j"}), ElementsAre("json"));
  EXPECT_THAT(Offered({"clear", "--session", "s"}), ElementsAre("s1"));
  EXPECT_THAT(Offered({"clear", "--session", "s1", ""}), IsEmpty());
}

TEST(Completion, ValueMayBeJoinedToItsOption) {
  EXPECT_THAT(Offered({"--output=j"}), ElementsAre("--output=json"));  // zsh
  EXPECT_THAT(Offered({"--output", "=", "j"}), ElementsAre("json"));   // bash
  EXPECT_THAT(Offered({"--output", "="}), ElementsAre("table", "json"));
  EXPECT_THAT(Offered({"--output=json", "cl"}), ElementsAre("clear\tclears"));
  EXPECT_THAT(Offered({"--output", "=", "json", "cl"}), ElementsAre("clear\tclears"));
}

TEST(Completion, PositionalsAreCounted) {
  EXPECT_THAT(Offered({"call", ""}), ElementsAre("/a.B/C", "a.B/D"));
  EXPECT_THAT(Offered({"call", "--session", "s1", "a"}), ElementsAre("a.B/D"));
  EXPECT_THAT(Offered({"call", "a.B/D", ""}), IsEmpty());
}

TEST(Completion, OptionThatTakesManyEndsAtTheNext) {
  EXPECT_THAT(Offered({"call", "m", "--open", "t", "f=1", "--se"}),
              ElementsAre("--session\twhose"));
  EXPECT_THAT(Offered({"call", "m", "--open", "t", "--session", ""}), ElementsAre("s1", "t2"));
}

TEST(Completion, FilesAreLeftToTheShell) {
  EXPECT_TRUE(Complete(Program(), {"call", "--file", ""}, {}).files);
  EXPECT_FALSE(Complete(Program(), {"cl"}, {}).files);
}

TEST(Suggestion, NamesTheNearestOrTheFirstFew) {
  EXPECT_EQ(Suggestion("x", {}), "");
  EXPECT_EQ(Suggestion("calculat", {"calculate", "fibonacci"}), "; did you mean calculate?");
  EXPECT_EQ(Suggestion("ab", {"abd", "abc", "zzzzzzz"}), "; did you mean abc or abd?");
  EXPECT_EQ(Suggestion("none", {"calculate", "fibonacci"}), "; there is calculate, fibonacci");
}

}  // namespace
}  // namespace memod
