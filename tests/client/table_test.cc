#include "memod/client/memoctl/table.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

namespace memod {
namespace {

TEST(Table, LinesUpItsColumnsWithoutTrailingSpaces) {
  Table table({{"NAME"}, {"HITS", Table::Align::kRight}, {"NOTE"}});
  table.AddRow({"a", "12345", "x"});
  table.AddRow({"longer", "7", "longest"});
  EXPECT_EQ(table.Render(),
            "NAME     HITS  NOTE\n"
            "a       12345  x\n"
            "longer      7  longest\n");
}

TEST(Table, WithoutRowsIsItsTitles) { EXPECT_EQ(Table({{"A"}, {"B"}}).Render(), "A  B\n"); }

TEST(Table, FirstColumnTakesWhatTheOthersLeave) {
  Table table({{"METHOD"}, {"HITS", Table::Align::kRight}});
  table.AddRow({"/memo.examples.v1.SlowAdder/Calculate", "12"});
  EXPECT_EQ(table.Render(30),
            "METHOD                    HITS\n"
            "/memo.ex..dder/Calculate    12\n");
  EXPECT_EQ(table.Render(45),
            "METHOD                                   HITS\n"
            "/memo.examples.v1.SlowAdder/Calculate      12\n");
}

TEST(Table, ControlCharactersAreShownNotObeyed) {
  Table table({{"A"}});
  table.AddRow({"\x1b[2J\n\xc3\xa4"});
  EXPECT_EQ(table.Render(), "A\n\\x1b[2J\\x0a\xc3\xa4\n");
}

TEST(CutMiddle, KeepsBothEnds) {
  EXPECT_EQ(CutMiddle("abcdefghij", 10), "abcdefghij");
  EXPECT_EQ(CutMiddle("abcdefghij", 8), "ab..ghij");
  EXPECT_EQ(CutMiddle("abcdefghij", 2), "ab");
  EXPECT_EQ(CutMiddle("abcdefghij", 0), "");
}

TEST(HumanBytes, UsesTheLargestUnitThatLeavesAWhole) {
  EXPECT_EQ(HumanBytes(0), "0 B");
  EXPECT_EQ(HumanBytes(1023), "1023 B");
  EXPECT_EQ(HumanBytes(1024), "1.0 KiB");
  EXPECT_EQ(HumanBytes(1229), "1.2 KiB");
  EXPECT_EQ(HumanBytes((1 << 20) - 1), "1.0 MiB");
  EXPECT_EQ(HumanBytes(int64_t{3} << 30), "3.0 GiB");
  EXPECT_EQ(HumanBytes(std::numeric_limits<int64_t>::max()), "8.0 EiB");
}

TEST(HumanSeconds, KeepsAboutThreeDigits) {
  EXPECT_EQ(HumanSeconds(0), "0s");
  EXPECT_EQ(HumanSeconds(1e-9), "<1us");
  EXPECT_EQ(HumanSeconds(0.0000123), "12us");
  EXPECT_EQ(HumanSeconds(0.0342), "34ms");
  EXPECT_EQ(HumanSeconds(0.9999), "1s");
  EXPECT_EQ(HumanSeconds(2.4), "2.4s");
  EXPECT_EQ(HumanSeconds(59.99), "1m0s");
  EXPECT_EQ(HumanSeconds(182), "3m2s");
  EXPECT_EQ(HumanSeconds(26 * 3600 + 601), "26h10m");
}

}  // namespace
}  // namespace memod
