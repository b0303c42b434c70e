#include "memod/server/examples/csv.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace memod::examples {
namespace {

using Row = std::vector<std::string>;
using Table = std::vector<Row>;

// The header and the rows; one row with the error when there is one.
Table Parse(std::string_view text) {
  const auto columns = ParseCsv(text);
  if (!columns.ok()) return {{columns.status().ToString()}};
  Table table(1 + columns->front().size());
  for (const CsvColumn& column : *columns) {
    EXPECT_EQ(column.size(), columns->front().size());
    table[0].push_back(column.name());
    for (size_t i = 0; i < column.size(); ++i) table[i + 1].emplace_back(column[i]);
  }
  return table;
}

Table Error(const std::string& message) { return {{"INVALID_ARGUMENT: " + message}}; }

const Table kPlain = {{"a", "b"}, {"1", "2"}, {"3", "4"}};

TEST(CsvTest, LineEndsAreLfOrCrlf) {
  EXPECT_EQ(Parse("a,b\n1,2\n3,4\n"), kPlain);
  EXPECT_EQ(Parse("a,b\r\n1,2\r\n3,4\r\n"), kPlain);
  EXPECT_EQ(Parse("a,b\r\n1,2\n3,4\r\n"), kPlain);
}

TEST(CsvTest, LastLineNeedsNoEnd) {
  EXPECT_EQ(Parse("a,b\n1,2\n3,4"), kPlain);
  EXPECT_EQ(Parse("a,b\n1,2\n3,\"4\""), kPlain);
  EXPECT_EQ(Parse("a,b\n1,2\n3,"), (Table{{"a", "b"}, {"1", "2"}, {"3", ""}}));
}

TEST(CsvTest, BlankLinesAtTheEndAreNoRows) {
  EXPECT_EQ(Parse("a,b\n1,2\n3,4\n\n"), kPlain);
  EXPECT_EQ(Parse("a,b\r\n1,2\r\n3,4\r\n\r\n\n"), kPlain);
  EXPECT_EQ(Parse("a\n1\n\n"), (Table{{"a"}, {"1"}}));
}

TEST(CsvTest, ByteOrderMarkIsNoPartOfTheFirstName) {
  EXPECT_EQ(Parse("\xEF\xBB\xBF"
                  "a,b\n1,2\n3,4\n"),
            kPlain);
}

TEST(CsvTest, HeaderAloneHasNoRows) {
  EXPECT_EQ(Parse("a,b"), (Table{{"a", "b"}}));
  EXPECT_EQ(Parse("a,b\n"), (Table{{"a", "b"}}));
}

TEST(CsvTest, QuotesKeepCommasLineEndsAndDoubledQuotes) {
  EXPECT_EQ(Parse("\"a,1\",b\n\"x,\"\"y\"\"\",\"p\r\nq\n\"\n"),
            (Table{{"a,1", "b"}, {"x,\"y\"", "p\r\nq\n"}}));
  EXPECT_EQ(Parse("a\n\"\"\"\"\n"), (Table{{"a"}, {"\""}}));
}

TEST(CsvTest, QuotedCellsEqualUnquotedOnes) {
  EXPECT_EQ(Parse("\"a\",\"b\"\n\"1\",\"2\"\n\"3\",\"4\"\n"), kPlain);
}

TEST(CsvTest, MissingCellsAreEmpty) {
  EXPECT_EQ(Parse("a,b,c\n,,\n1,,\"\"\n"), (Table{{"a", "b", "c"}, {"", "", ""}, {"1", "", ""}}));
  EXPECT_EQ(Parse("a\n\n1\n"), (Table{{"a"}, {""}, {"1"}}));
}

TEST(CsvTest, SpacesBelongToTheirCell) {
  EXPECT_EQ(Parse(" a,b \n 1,\t\n"), (Table{{" a", "b "}, {" 1", "\t"}}));
}

TEST(CsvTest, TextBeyondAsciiIsKept) {
  EXPECT_EQ(Parse("Straße,気温\nÅ,\"ß\"\n"), (Table{{"Straße", "気温"}, {"Å", "ß"}}));
}

TEST(CsvTest, MissingHeaderIsRefused) {
  for (std::string_view text : {"", "\n", "\r\n\n", "\xEF\xBB\xBF", "\xEF\xBB\xBF\n"}) {
    EXPECT_EQ(Parse(text), Error("line 1, column 1: no header line"));
  }
}

TEST(CsvTest, EmptyColumnNameIsRefused) {
  EXPECT_EQ(Parse("a,,c\n1,2,3\n"), Error("line 1, column 3: empty column name"));
  EXPECT_EQ(Parse("a,\"\"\n1,2\n"), Error("line 1, column 3: empty column name"));
  EXPECT_EQ(Parse("a,b,\n1,2,3\n"), Error("line 1, column 5: empty column name"));
  EXPECT_EQ(Parse("\na\n1\n"), Error("line 1, column 1: empty column name"));
}

TEST(CsvTest, RepeatedColumnNameIsRefused) {
  EXPECT_EQ(Parse("a,b,\"a\"\n1,2,3\n"), Error("line 1, column 5: repeated column name"));
}

TEST(CsvTest, TenThousandColumnsAreTheMost) {
  std::string header;
  for (int i = 10'000; i < 20'000; ++i) header += (i == 10'000 ? "" : ",") + std::to_string(i);
  EXPECT_EQ(Parse(header).at(0).size(), 10'000u);
  EXPECT_EQ(Parse(header + ",x"), Error("line 1, column 60001: more than 10000 columns"));
}

TEST(CsvTest, RowOfFewerCellsIsRefusedWhereItEnds) {
  EXPECT_EQ(Parse("a,b,c\n1,2,3\n10,20\n4,5,6\n"),
            Error("line 3, column 6: the row ends after 2 cells, the header has 3"));
  EXPECT_EQ(Parse("a,b,c\n1,2"),
            Error("line 2, column 4: the row ends after 2 cells, the header has 3"));
  EXPECT_EQ(Parse("a,b\n1,2\n\n3,4\n"),
            Error("line 3, column 1: the row ends after 1 cell, the header has 2"));
}

TEST(CsvTest, RowOfMoreCellsIsRefusedWhereTheyBegin) {
  EXPECT_EQ(Parse("a,b\n1,2\n3,4,5,6\n"), Error("line 3, column 5: cell 3, the header has 2"));
  EXPECT_EQ(Parse("a,b\n1,2,"), Error("line 2, column 5: cell 3, the header has 2"));
}

TEST(CsvTest, QuoteThatIsNotClosedIsRefusedWhereItOpens) {
  EXPECT_EQ(Parse("a,b\n1,\"2\n3,4\n"), Error("line 2, column 3: the quote is not closed"));
  EXPECT_EQ(Parse("a,b\n1,\""), Error("line 2, column 3: the quote is not closed"));
  EXPECT_EQ(Parse("a,b\n1,\"2\"\""), Error("line 2, column 3: the quote is not closed"));
  EXPECT_EQ(Parse("a,\"b\n\n"), Error("line 1, column 3: the quote is not closed"));
}

TEST(CsvTest, TextAfterAClosingQuoteIsRefused) {
  EXPECT_EQ(Parse("a,b\n\"1\"x,2\n"), Error("line 2, column 4: text after a closing quote"));
  EXPECT_EQ(Parse("a,b\n\"1\" ,2\n"), Error("line 2, column 4: text after a closing quote"));
  EXPECT_EQ(Parse("a,b\n1,\"2\"\r3,4\n"), Error("line 2, column 6: text after a closing quote"));
}

TEST(CsvTest, QuoteWithinAnUnquotedCellIsRefused) {
  EXPECT_EQ(Parse("a,b\n1,6\" nail\n"), Error("line 2, column 4: quote within an unquoted cell"));
  EXPECT_EQ(Parse("a, \"b\"\n"), Error("line 1, column 4: quote within an unquoted cell"));
}

TEST(CsvTest, CarriageReturnWithoutALineFeedIsRefused) {
  EXPECT_EQ(Parse("a,b\r1,2\r"), Error("line 1, column 4: carriage return without a line feed"));
  EXPECT_EQ(Parse("a,b\n1,2\r"), Error("line 2, column 4: carriage return without a line feed"));
}

TEST(CsvTest, NulIsRefused) {
  EXPECT_EQ(Parse(std::string_view("a,b\n1,\0002\n", 9)), Error("line 2, column 3: NUL byte"));
  EXPECT_EQ(Parse(std::string_view("a,b\n1,\"\0\"\n", 10)), Error("line 2, column 4: NUL byte"));
}

TEST(CsvTest, PositionsCountLinesWithinQuotesAndCharacters) {
  EXPECT_EQ(Parse("\xEF\xBB\xBF"
                  "a,b\n\"p\nq\",1\n気温,\"°\"!\n"),
            Error("line 4, column 7: text after a closing quote"));
}

}  // namespace
}  // namespace memod::examples
