#include "memod/server/examples/dataset.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace memod::examples {
namespace {

using absl::StatusCode;

absl::StatusOr<std::unique_ptr<Dataset>> Create(const std::string& csv) {
  v1::DatasetState state;
  state.set_csv(csv);
  return Dataset::Create(state);
}

std::unique_ptr<Dataset> Weather() {
  std::ifstream file(MEMOD_TEST_DATA_DIR "/seattle-weather.csv", std::ios::binary);
  return Create(std::string(std::istreambuf_iterator<char>(file), {})).value();
}

absl::StatusOr<v1::DescribeResponse> Describe(const Dataset& dataset, const std::string& column) {
  v1::DescribeRequest request;
  request.set_column(column);
  return dataset.Describe(request);
}

// Of the column c of one-column text.
v1::DescribeResponse DescribeCells(const std::string& cells) {
  return Describe(*Create("c\n" + cells).value(), "c").value();
}

absl::StatusOr<v1::CorrelateResponse> Correlate(const Dataset& dataset, const std::string& x,
                                                const std::string& y, int64_t resamples = 0,
                                                uint64_t seed = 0) {
  v1::CorrelateRequest request;
  request.set_x(x);
  request.set_y(y);
  request.set_resamples(resamples);
  request.set_seed(seed);
  return dataset.CorrelateUnless([] { return false; }, request);
}

// Of the columns x and y, which `rows` are of.
absl::StatusOr<v1::CorrelateResponse> CorrelateRows(const std::string& rows,
                                                    int64_t resamples = 0) {
  return Correlate(*Create("x,y\n" + rows).value(), "x", "y", resamples);
}

bool Mentions(const absl::Status& status, std::string_view text) {
  return absl::StrContains(status.message(), absl::string_view(text.data(), text.size()));
}

// ---- Opening.

TEST(DatasetTest, BadCsvIsRefusedWithTheFieldAndThePosition) {
  EXPECT_EQ(Create("a,b\n1\n").status().ToString(),
            "INVALID_ARGUMENT: csv: line 2, column 2: the row ends after 1 cell, the header has 2");
  EXPECT_EQ(Create("").status().ToString(),
            "INVALID_ARGUMENT: csv: line 1, column 1: no header line");
}

// ---- What a column holds.

TEST(DatasetTest, DecimalNumbersMakeANumericColumn) {
  for (std::string cell : {"12", "-0.5", ".5", "5.", "1e-3", "1E+3", "-0", "\"7\"", "1e308"}) {
    EXPECT_TRUE(DescribeCells(cell + "\n").has_numbers()) << cell;
  }
}

TEST(DatasetTest, AnythingElseMakesAColumnText) {
  for (std::string cell : {"nan", "NaN", "inf", "-Infinity", "0x10", "+5", " 5", "5 ", "1e", "-",
                           ".", "1e999", "1e-999", "\"1,000\"", "1 2", "rain"}) {
    const auto response = DescribeCells("1\n" + cell + "\n");
    EXPECT_FALSE(response.has_numbers()) << cell;
    EXPECT_EQ(response.count(), 2) << cell;
  }
}

TEST(DatasetTest, NumbersAreSummarized) {
  const auto response = DescribeCells("4\n\n1.0\n2\n1\n\"\"\n-3\n");
  EXPECT_EQ(response.count(), 5);
  EXPECT_EQ(response.missing(), 2);
  EXPECT_EQ(response.distinct(), 4);
  EXPECT_DOUBLE_EQ(response.numbers().mean(), 1);
  EXPECT_DOUBLE_EQ(response.numbers().stddev(), 2.5495097567963922);  // the root of 26 / 4
  EXPECT_EQ(response.numbers().min(), -3);
  EXPECT_EQ(response.numbers().median(), 1);
  EXPECT_EQ(response.numbers().max(), 4);
}

TEST(DatasetTest, MedianOfAnEvenCountIsHalfWay) {
  EXPECT_EQ(DescribeCells("4\n1\n2\n30\n").numbers().median(), 3);
}

TEST(DatasetTest, SingleNumberHasNoDeviation) {
  const auto response = DescribeCells("7.5\n");
  EXPECT_EQ(response.numbers().mean(), 7.5);
  EXPECT_EQ(response.numbers().stddev(), 0);
}

TEST(DatasetTest, EqualNumbersHaveExactlyTheirMeanAndNoDeviation) {
  std::string cells;
  for (int i = 0; i < 1000; ++i) cells += "0.1\n";
  EXPECT_EQ(DescribeCells(cells).numbers().mean(), 0.1);
  EXPECT_EQ(DescribeCells(cells).numbers().stddev(), 0);
}

TEST(DatasetTest, NothingOverflowsOrUnderflows) {
  const auto large = DescribeCells("1.5e308\n1.5e308\n1.2e308\n").numbers();
  EXPECT_DOUBLE_EQ(large.mean(), 1.4e308);
  EXPECT_NEAR(large.stddev() / 1e308, 0.17320508075688773, 1e-12);  // 0.3 / the root of 3
  EXPECT_EQ(large.median(), 1.5e308);
  const auto small = DescribeCells("1e-300\n3e-300\n").numbers();
  EXPECT_DOUBLE_EQ(small.mean(), 2e-300);
  EXPECT_NEAR(small.stddev() / 1e-300, 1.4142135623730951, 1e-12);
}

TEST(DatasetTest, DeviationIsExactFarFromZero) {
  const auto numbers = DescribeCells("1000000000.1\n1000000000.2\n1000000000.3\n").numbers();
  EXPECT_NEAR(numbers.stddev(), 0.1, 1e-6);  // the cells themselves are rounded to 1.2e-7
}

TEST(DatasetTest, ColumnWithoutACellPresentHasNoNumbers) {
  for (std::string cells : {"", "\"\"\n\"\"\n"}) {
    const auto response = DescribeCells(cells);
    EXPECT_EQ(response.count(), 0);
    EXPECT_EQ(response.missing(), cells.empty() ? 0 : 2);
    EXPECT_EQ(response.distinct(), 0);
    EXPECT_FALSE(response.has_numbers());
  }
}

TEST(DatasetTest, TextIsCounted) {
  const auto response = DescribeCells("sun\n\nrain\nsun\n1\n");
  EXPECT_EQ(response.count(), 4);
  EXPECT_EQ(response.missing(), 1);
  EXPECT_EQ(response.distinct(), 3);
  EXPECT_FALSE(response.has_numbers());
}

TEST(DatasetTest, UnknownColumnIsNotFoundAndThoseThereAreAreListed) {
  const auto dataset = Create("a,\"b\nb\",ç\n1,2,3\n").value();
  EXPECT_EQ(Describe(*dataset, "d").status().ToString(),
            "NOT_FOUND: no column \"d\"; there are \"a\", \"b\\nb\", \"ç\"");
}

TEST(DatasetTest, ListOfManyOrLongNamesIsCut) {
  std::string header = std::string(59, 'x') + "ççç";  // cut before its first ç, which is 2 bytes
  for (int i = 1; i < 500; ++i) absl::StrAppend(&header, ",column", i);
  const auto dataset = Create(header).value();
  const absl::Status status = Describe(*dataset, std::string(100'000, 'y')).status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_LT(status.message().size(), 1200u);
  EXPECT_TRUE(Mentions(status, "no column \"" + std::string(60, 'y') + "...\"")) << status;
  EXPECT_TRUE(Mentions(status, " \"" + std::string(59, 'x') + "...\", \"column1\", ")) << status;
  EXPECT_TRUE(Mentions(status, " more")) << status;
}

// ---- The real file. Constants by python3.11's csv and statistics (mean, stdev, median,
// correlation) from the same file.

TEST(DatasetTest, WeatherColumnsAreAsTheyAre) {
  const auto weather = Weather();
  const auto wind = Describe(*weather, "wind").value();
  EXPECT_EQ(wind.count(), 1461);
  EXPECT_EQ(wind.missing(), 0);
  EXPECT_EQ(wind.distinct(), 79);
  EXPECT_NEAR(wind.numbers().mean(), 3.24113620807666, 1e-12);
  EXPECT_NEAR(wind.numbers().stddev(), 1.4378250588746195, 1e-12);
  EXPECT_EQ(wind.numbers().min(), 0.4);
  EXPECT_EQ(wind.numbers().median(), 3.0);
  EXPECT_EQ(wind.numbers().max(), 9.5);
  EXPECT_EQ(Describe(*weather, "temp_min").value().numbers().min(), -7.1);
  EXPECT_EQ(Describe(*weather, "date").value().distinct(), 1461);
  EXPECT_EQ(Describe(*weather, "weather").value().distinct(), 5);
  EXPECT_FALSE(Describe(*weather, "weather").value().has_numbers());
}

TEST(DatasetTest, WeatherCorrelationsAreThoseOfPython) {
  const auto weather = Weather();
  const auto correlation = [&](const std::string& x, const std::string& y) {
    return Correlate(*weather, x, y).value().correlation();
  };
  EXPECT_NEAR(correlation("temp_max", "temp_min"), 0.8756866637108168, 1e-12);
  EXPECT_NEAR(correlation("temp_max", "precipitation"), -0.22855481643297035, 1e-12);
  EXPECT_NEAR(correlation("temp_max", "wind"), -0.16485663487495483, 1e-12);
  EXPECT_NEAR(correlation("precipitation", "wind"), 0.3280450899352917, 1e-12);
  EXPECT_EQ(Correlate(*weather, "temp_max", "wind").value().rows(), 1461);
}

// In Python the same definition: mt19937-64 written from its paper; row = (draw * rows) >> 64;
// statistics.correlation; first and last of statistics.quantiles(n=40, method="inclusive").
TEST(DatasetTest, WeatherIntervalsAreThoseOfPython) {
  const auto weather = Weather();
  const auto rain = Correlate(*weather, "temp_max", "precipitation", 1000, 42).value().interval();
  EXPECT_NEAR(rain.low(), -0.26267256491757907, 1e-12);
  EXPECT_NEAR(rain.high(), -0.1963770328416816, 1e-12);
  const auto wind = Correlate(*weather, "temp_max", "wind", 1000, 42).value().interval();
  EXPECT_NEAR(wind.low(), -0.20902586779053345, 1e-12);
  EXPECT_NEAR(wind.high(), -0.12096773167639688, 1e-12);
}

// ---- Correlations.

TEST(DatasetTest, CorrelationOfAStraightLineIsOne) {
  EXPECT_DOUBLE_EQ(CorrelateRows("1,10\n2,20\n3,30\n").value().correlation(), 1);
  EXPECT_DOUBLE_EQ(CorrelateRows("1,3\n2,2\n3,1\n").value().correlation(), -1);
  EXPECT_EQ(Correlate(*Weather(), "wind", "wind").value().correlation(), 1);
}

TEST(DatasetTest, CorrelationOfASymmetricPairIsZero) {
  EXPECT_DOUBLE_EQ(CorrelateRows("-1,1\n0,0\n1,1\n").value().correlation(), 0);
}

TEST(DatasetTest, CorrelationDoesNotDependOnOriginOrUnit) {
  const double expected = CorrelateRows("1,2\n2,1\n3,4\n4,3\n").value().correlation();
  EXPECT_DOUBLE_EQ(expected, 0.6);
  EXPECT_DOUBLE_EQ(
      CorrelateRows("1000000000001,2\n1000000000002,1\n1000000000003,4\n1000000000004,3\n")
          .value()
          .correlation(),
      expected);
  EXPECT_DOUBLE_EQ(CorrelateRows("1e300,2e-300\n2e300,1e-300\n3e300,4e-300\n4e300,3e-300\n")
                       .value()
                       .correlation(),
                   expected);
}

TEST(DatasetTest, RowsWithAMissingCellAreLeftOut) {
  const auto response = CorrelateRows("1,10\n,99\n2,20\n-7,\n3,30\n").value();
  EXPECT_EQ(response.rows(), 3);
  EXPECT_DOUBLE_EQ(response.correlation(), 1);
}

TEST(DatasetTest, NoIntervalIsMadeWithoutResamples) {
  EXPECT_FALSE(CorrelateRows("1,10\n2,20\n3,30\n", 0).value().has_interval());
  EXPECT_TRUE(CorrelateRows("1,10\n2,20\n3,30\n", 1).value().has_interval());
}

TEST(DatasetTest, IntervalHoldsTheCorrelation) {
  const auto response = Correlate(*Weather(), "precipitation", "wind", 500, 1).value();
  EXPECT_LT(response.interval().low(), response.correlation());
  EXPECT_GT(response.interval().high(), response.correlation());
}

TEST(DatasetTest, SameSeedGivesTheSameBitsAndAnotherSeedOthers) {
  const auto weather = Weather();
  const auto bytes = [&](uint64_t seed) {
    return Correlate(*weather, "temp_max", "wind", 200, seed).value().SerializeAsString();
  };
  EXPECT_EQ(bytes(7), bytes(7));
  EXPECT_NE(bytes(7), bytes(8));
}

TEST(DatasetTest, IntervalOfOneRoundIsThatRound) {
  const auto interval = Correlate(*Weather(), "temp_max", "wind", 1, 3).value().interval();
  EXPECT_EQ(interval.low(), interval.high());
}

// Of the 27 draws of these three rows 15 do not vary in x or in y; the others give -1 or -0.5.
TEST(DatasetTest, DrawsWithoutVariationAreDrawnAgain) {
  const auto response = CorrelateRows("0,0\n0,1\n1,0\n", 2000).value();
  EXPECT_DOUBLE_EQ(response.correlation(), -0.5);
  EXPECT_DOUBLE_EQ(response.interval().low(), -1);
  EXPECT_DOUBLE_EQ(response.interval().high(), -0.5);
}

TEST(DatasetTest, PerfectCorrelationHasAnIntervalOfOnePoint) {
  const auto interval = Correlate(*Weather(), "wind", "wind", 100).value().interval();
  EXPECT_EQ(interval.low(), 1);
  EXPECT_EQ(interval.high(), 1);
}

TEST(DatasetTest, CancelledCorrelateStops) {
  v1::CorrelateRequest request;
  request.set_x("temp_max");
  request.set_y("wind");
  request.set_resamples(10'000'000);
  int asked = 0;
  const auto response = Weather()->CorrelateUnless([&] { return ++asked == 3; }, request);
  EXPECT_EQ(response.status().code(), StatusCode::kCancelled);
  EXPECT_EQ(asked, 3);
}

TEST(DatasetTest, BadCorrelationsAreRefused) {
  const auto weather = Weather();
  const auto status = [&](const std::string& x, const std::string& y, int64_t resamples) {
    return Correlate(*weather, x, y, resamples).status();
  };
  EXPECT_EQ(status("temp_max", "rain", 0).code(), StatusCode::kNotFound);
  EXPECT_EQ(status("rain", "temp_max", 0).code(), StatusCode::kNotFound);
  EXPECT_TRUE(Mentions(status("", "temp_max", 0), "\"precipitation\""));
  EXPECT_EQ(status("temp_max", "weather", 0).ToString(),
            "INVALID_ARGUMENT: column \"weather\" is text");
  EXPECT_EQ(status("temp_max", "wind", -1).ToString(),
            "INVALID_ARGUMENT: resamples: must be in 0..10000000, is -1");
  EXPECT_EQ(status("temp_max", "wind", 10'000'001).code(), StatusCode::kInvalidArgument);
}

TEST(DatasetTest, TooFewCompleteRowsAreRefused) {
  EXPECT_EQ(CorrelateRows("").status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(CorrelateRows("1,1\n2,3\n3,\n").status().ToString(),
            "FAILED_PRECONDITION: rows with both columns present: 2, needed are 3");
}

TEST(DatasetTest, ColumnThatDoesNotVaryIsRefused) {
  EXPECT_EQ(CorrelateRows("0.1,1\n0.1,2\n0.1,4\n").status().ToString(),
            "FAILED_PRECONDITION: column \"x\" does not vary over the 3 rows");
  EXPECT_EQ(CorrelateRows("1,0.1\n2,0.1\n3,0.1\n4,\n,7\n").status().ToString(),
            "FAILED_PRECONDITION: column \"y\" does not vary over the 3 rows");
}

}  // namespace
}  // namespace memod::examples
