// The hosted class behind memo.examples.v1.Dataset: statistics on a table that is parsed once.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "memo/examples/v1/dataset.pb.h"
#include "memod/server/call_context.h"
#include "memod/server/examples/csv.h"

namespace memod::examples {

namespace v1 = memo::examples::v1;

// Immutable, so thread-safe. The methods' contracts are in dataset.proto.
class Dataset {
 public:
  // Keeps the cells, not the text. INVALID_ARGUMENT: the text is no such CSV, and where.
  static absl::StatusOr<std::unique_ptr<Dataset>> Create(const v1::DatasetState& state);

  absl::StatusOr<v1::DescribeResponse> Describe(const v1::DescribeRequest& request) const;
  absl::StatusOr<v1::CorrelateResponse> Correlate(const v1::CorrelateRequest& request,
                                                  CallContext& context) const;

  // Correlate for a caller without a context. `cancelled` is asked once per round.
  absl::StatusOr<v1::CorrelateResponse> CorrelateUnless(const std::function<bool()>& cancelled,
                                                        const v1::CorrelateRequest& request) const;

 private:
  using Numbers = std::vector<double>;  // NaN: missing
  struct Column {
    std::string name;
    std::variant<Numbers, CsvColumn> cells;
  };

  explicit Dataset(std::vector<Column> columns) : columns_(std::move(columns)) {}
  static Column MakeColumn(CsvColumn text);

  absl::StatusOr<const Column*> Find(const std::string& name) const;
  absl::StatusOr<const Numbers*> FindNumbers(const std::string& name) const;

  const std::vector<Column> columns_;
};

}  // namespace memod::examples
