#include "memod/server/examples/dataset.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>
#include <numeric>
#include <optional>
#include <random>
#include <string_view>

#include "absl/numeric/int128.h"
#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace memod::examples {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();
constexpr int64_t kMaxResamples = 10'000'000;
constexpr size_t kMinRows = 3;

// ---- Cells and names.

// nullopt: not a finite decimal number, as dataset.proto says it.
std::optional<double> ParseNumber(std::string_view cell) {
  double number;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), number);
  if (error != std::errc() || end != cell.data() + cell.size()) return std::nullopt;
  return std::isfinite(number) ? std::optional(number) : std::nullopt;
}

// nullopt: the column is text.
std::optional<std::vector<double>> ParseNumbers(const CsvColumn& text) {
  std::vector<double> numbers;
  numbers.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto number = text[i].empty() ? kMissing : ParseNumber(text[i]);
    if (!number.has_value()) return std::nullopt;
    numbers.push_back(*number);
  }
  return numbers;
}

// A name as messages show it: on one line, in quotes, of bounded length.
std::string Quoted(std::string_view name) {
  constexpr size_t kMaxBytes = 60;
  const bool cut = name.size() > kMaxBytes;
  if (cut) {
    size_t end = kMaxBytes;
    while (end > 0 && (name[end] & 0xC0) == 0x80) --end;  // not within a character
    name = name.substr(0, end);
  }
  return absl::StrCat("\"", absl::Utf8SafeCEscape({name.data(), name.size()}), cut ? "..." : "",
                      "\"");
}

// ---- Numbers.

// Divides by the power of two, which is returned, that makes the largest magnitude 0.5..1: then no
// sum or square overflows, and no square of a deviation that matters underflows. Exact but for
// numbers that are nothing beside the largest.
int Normalize(std::vector<double>& numbers) {
  double largest = 0;
  for (double number : numbers) largest = std::max(largest, std::abs(number));
  int exponent;
  std::frexp(largest, &exponent);
  for (double& number : numbers) number = std::ldexp(number, -exponent);
  return exponent;
}

// Summed up from the first number on, so that its error is small beside the numbers' range, however
// far from 0 they are; of equal numbers it is exact.
double Mean(const std::vector<double>& numbers) {
  const double first = numbers.front();
  double sum = 0;
  for (double number : numbers) sum += number - first;
  return first + sum / static_cast<double>(numbers.size());
}

// Of a sample.
double StandardDeviation(const std::vector<double>& numbers, double mean) {
  if (numbers.size() < 2) return 0;
  double squares = 0;
  for (double number : numbers) squares += (number - mean) * (number - mean);
  return std::sqrt(squares / static_cast<double>(numbers.size() - 1));
}

// `numbers` are some, none missing.
v1::Numbers Summarize(std::vector<double> numbers) {
  std::sort(numbers.begin(), numbers.end());
  const size_t n = numbers.size();
  v1::Numbers summary;
  summary.set_min(numbers.front());
  summary.set_median(std::midpoint(numbers[(n - 1) / 2], numbers[n / 2]));
  summary.set_max(numbers.back());
  const int exponent = Normalize(numbers);
  const double mean = Mean(numbers);
  summary.set_mean(std::ldexp(mean, exponent));
  summary.set_stddev(std::ldexp(StandardDeviation(numbers, mean), exponent));
  return summary;
}

template <typename T>
int64_t CountDistinct(std::vector<T> values) {
  std::sort(values.begin(), values.end());
  return std::unique(values.begin(), values.end()) - values.begin();
}

v1::DescribeResponse DescribeNumbers(const std::vector<double>& cells) {
  std::vector<double> present;
  std::copy_if(cells.begin(), cells.end(), std::back_inserter(present),
               [](double number) { return !std::isnan(number); });
  v1::DescribeResponse response;
  response.set_count(present.size());
  response.set_missing(cells.size() - present.size());
  response.set_distinct(CountDistinct(present));
  if (!present.empty()) *response.mutable_numbers() = Summarize(std::move(present));
  return response;
}

v1::DescribeResponse DescribeText(const CsvColumn& cells) {
  std::vector<std::string_view> present;
  for (size_t i = 0; i < cells.size(); ++i) {
    if (!cells[i].empty()) present.push_back(cells[i]);
  }
  v1::DescribeResponse response;
  response.set_count(present.size());
  response.set_missing(cells.size() - present.size());
  response.set_distinct(CountDistinct(std::move(present)));
  return response;
}

// ---- Correlation. To give the same bits everywhere, this file is compiled with -ffp-contract=off.

// Rows of two columns: x[i] and y[i] are one row.
struct Pairs {
  std::vector<double> x;
  std::vector<double> y;
};

Pairs CompleteRows(const std::vector<double>& x, const std::vector<double>& y) {
  Pairs rows;
  for (size_t i = 0; i < x.size(); ++i) {
    if (std::isnan(x[i]) || std::isnan(y[i])) continue;
    rows.x.push_back(x[i]);
    rows.y.push_back(y[i]);
  }
  return rows;
}

bool Varies(const std::vector<double>& numbers) {
  return std::any_of(numbers.begin(), numbers.end(),
                     [&](double number) { return number != numbers.front(); });
}

// Pearson's, of normalized numbers; nullopt when x or y does not vary.
std::optional<double> Correlation(const Pairs& rows) {
  if (!Varies(rows.x) || !Varies(rows.y)) return std::nullopt;
  const double mean_x = Mean(rows.x);
  const double mean_y = Mean(rows.y);
  double xx = 0, yy = 0, xy = 0;
  for (size_t i = 0; i < rows.x.size(); ++i) {
    const double dx = rows.x[i] - mean_x;
    const double dy = rows.y[i] - mean_y;
    xx += dx * dx;
    yy += dy * dy;
    xy += dx * dy;
  }
  const double scale = std::sqrt(xx * yy);
  if (scale == 0) return std::nullopt;  // deviations so small that their squares are 0
  return std::clamp(xy / scale, -1.0, 1.0);
}

// Uniform from 0 to n - 1, but for a bias below n / 2^64. The engine's numbers are fixed by the
// standard; what std::uniform_int_distribution makes of them differs from library to library.
size_t Below(size_t n, std::mt19937_64& random) {
  return absl::Uint128High64(absl::uint128(random()) * n);
}

// As many rows, drawn with replacement.
void Resample(const Pairs& rows, std::mt19937_64& random, Pairs& drawn) {
  const size_t n = rows.x.size();
  drawn.x.resize(n);
  drawn.y.resize(n);
  for (size_t i = 0; i < n; ++i) {
    const size_t row = Below(n, random);
    drawn.x[i] = rows.x[row];
    drawn.y[i] = rows.y[row];
  }
}

// Interpolates linearly between the two nearest of `sorted`, at p * (size - 1).
double Quantile(const std::vector<double>& sorted, double p) {
  const double position = p * static_cast<double>(sorted.size() - 1);
  const size_t below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (position - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

// Both columns of `rows` vary.
absl::StatusOr<v1::Interval> Bootstrap(const Pairs& rows, size_t resamples, uint64_t seed,
                                       const std::function<bool()>& cancelled) {
  std::mt19937_64 random(seed);
  Pairs drawn;
  std::vector<double> correlations;
  correlations.reserve(resamples);
  // A draw in which a column does not vary is drawn again. That ends soon: at the worst each column
  // has one row that sets it apart, and a draw holds both with a probability of about 0.4.
  while (correlations.size() < resamples) {
    if (cancelled()) return absl::CancelledError("nobody waits for the answer any more");
    Resample(rows, random, drawn);
    if (const auto correlation = Correlation(drawn)) correlations.push_back(*correlation);
  }
  std::sort(correlations.begin(), correlations.end());
  v1::Interval interval;
  interval.set_low(Quantile(correlations, 0.025));
  interval.set_high(Quantile(correlations, 0.975));
  return interval;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Dataset>> Dataset::Create(const v1::DatasetState& state) {
  auto table = ParseCsv(state.csv());
  if (!table.ok()) {
    const auto message = table.status().message();
    return absl::Status(table.status().code(), absl::StrCat("csv: ", message));
  }
  std::vector<Column> columns;
  columns.reserve(table->size());
  for (CsvColumn& text : *table) columns.push_back(MakeColumn(std::move(text)));
  return std::unique_ptr<Dataset>(new Dataset(std::move(columns)));
}

Dataset::Column Dataset::MakeColumn(CsvColumn text) {
  std::string name = text.name();
  if (auto numbers = ParseNumbers(text)) return {std::move(name), *std::move(numbers)};
  return {std::move(name), std::move(text)};
}

absl::StatusOr<const Dataset::Column*> Dataset::Find(const std::string& name) const {
  for (const Column& column : columns_) {
    if (column.name == name) return &column;
  }
  std::string message = absl::StrCat("no column ", Quoted(name), "; there are");
  for (size_t i = 0; i < columns_.size(); ++i) {
    // An error's message has to fit into the trailers.
    if (message.size() > 1000) {
      absl::StrAppend(&message, ", and ", columns_.size() - i, " more");
      break;
    }
    absl::StrAppend(&message, i == 0 ? " " : ", ", Quoted(columns_[i].name));
  }
  return absl::NotFoundError(message);
}

absl::StatusOr<const Dataset::Numbers*> Dataset::FindNumbers(const std::string& name) const {
  const auto column = Find(name);
  if (!column.ok()) return column.status();
  if (const auto* numbers = std::get_if<Numbers>(&(*column)->cells)) return numbers;
  return absl::InvalidArgumentError(absl::StrCat("column ", Quoted(name), " is text"));
}

absl::StatusOr<v1::DescribeResponse> Dataset::Describe(const v1::DescribeRequest& request) const {
  const auto column = Find(request.column());
  if (!column.ok()) return column.status();
  if (const auto* numbers = std::get_if<Numbers>(&(*column)->cells)) {
    return DescribeNumbers(*numbers);
  }
  return DescribeText(std::get<CsvColumn>((*column)->cells));
}

absl::StatusOr<v1::CorrelateResponse> Dataset::Correlate(const v1::CorrelateRequest& request,
                                                         CallContext& context) const {
  return CorrelateUnless([&context] { return context.cancelled(); }, request);
}

absl::StatusOr<v1::CorrelateResponse> Dataset::CorrelateUnless(
    const std::function<bool()>& cancelled, const v1::CorrelateRequest& request) const {
  if (request.resamples() < 0 || request.resamples() > kMaxResamples) {
    return absl::InvalidArgumentError(
        absl::StrCat("resamples: must be in 0..", kMaxResamples, ", is ", request.resamples()));
  }
  const auto x = FindNumbers(request.x());
  if (!x.ok()) return x.status();
  const auto y = FindNumbers(request.y());
  if (!y.ok()) return y.status();
  Pairs rows = CompleteRows(**x, **y);
  if (rows.x.size() < kMinRows) {
    return absl::FailedPreconditionError(
        absl::StrCat("rows with both columns present: ", rows.x.size(), ", needed are ", kMinRows));
  }
  Normalize(rows.x);
  Normalize(rows.y);
  const auto correlation = Correlation(rows);
  if (!correlation.has_value()) {
    const std::string& constant = Varies(rows.x) ? request.y() : request.x();
    return absl::FailedPreconditionError(absl::StrCat(
        "column ", Quoted(constant), " does not vary over the ", rows.x.size(), " rows"));
  }
  v1::CorrelateResponse response;
  response.set_correlation(*correlation);
  response.set_rows(rows.x.size());
  if (request.resamples() > 0) {
    auto interval = Bootstrap(rows, request.resamples(), request.seed(), cancelled);
    if (!interval.ok()) return interval.status();
    *response.mutable_interval() = *interval;
  }
  return response;
}

}  // namespace memod::examples
