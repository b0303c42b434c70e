#include "memod/client/pipeline.h"

#include "absl/strings/cord.h"
#include "memod/client/grpc_status.h"
#include "memod/client/pipeline_calls.h"

namespace memod {

absl::Status ToStatus(const PipelineAnswer& answer) {
  absl::Status status = FromGrpc(answer.status);
  if (status.ok()) return status;
  if (!answer.memo_error.empty()) {
    status.SetPayload("memo-error", absl::Cord(answer.memo_error));
  }
  if (!answer.status.error_details().empty()) {
    status.SetPayload("grpc-status-details-bin", absl::Cord(answer.status.error_details()));
  }
  return status;
}

Pipeline::Pipeline(std::shared_ptr<PipelineCalls> calls) : calls_(std::move(calls)) {}
Pipeline::Pipeline(Pipeline&&) noexcept = default;

Pipeline& Pipeline::operator=(Pipeline&& other) noexcept {
  Pipeline former(std::move(*this));
  calls_ = std::move(other.calls_);
  return *this;
}

Pipeline::~Pipeline() {
  if (calls_ != nullptr) calls_->Close();
}

uint64_t Pipeline::Call(std::string_view method, std::string_view request, Callback done,
                        memo::v1::Control control) {
  return calls_->Call(method, request, std::move(done), control);
}

void Pipeline::Cancel(uint64_t id) { calls_->Cancel(id); }

absl::Status Pipeline::status() const { return calls_->status(); }

}  // namespace memod
