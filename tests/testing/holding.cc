#include "memod/tests/testing/holding.h"

namespace memod {

using memo::v1::HoldSessionRequest;
using memo::v1::HoldSessionResponse;

Holding::Holding(memo::v1::SessionService::Stub& sessions,
                 const std::optional<std::string>& handle) {
  if (handle) context_.AddMetadata("memo-session", *handle);
  stream_ = sessions.HoldSession(&context_);
}

Holding::~Holding() {
  Cancel();
  Wait();
}

bool Holding::SendHold(const std::string& holder) {
  HoldSessionRequest request;
  request.mutable_hold()->set_holder(holder);
  return stream_->Write(request);
}

bool Holding::SendHeartbeat() {
  HoldSessionRequest request;
  request.mutable_heartbeat();
  return stream_->Write(request);
}

std::optional<HoldSessionResponse> Holding::Read() {
  HoldSessionResponse response;
  if (!stream_->Read(&response)) return std::nullopt;
  return response;
}

bool Holding::Hold(const std::string& holder) {
  if (!SendHold(holder)) return false;
  const auto response = Read();
  return response && response->has_held();
}

const grpc::Status& Holding::Wait() {
  if (ended_) return status_;
  while (Read()) {
  }
  status_ = stream_->Finish();
  ended_ = true;
  return status_;
}

}  // namespace memod
