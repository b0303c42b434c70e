#include "memod/tests/testing/opening.h"

namespace memod {

using memo::v1::OpenSessionRequest;
using memo::v1::OpenSessionResponse;

Opening::Opening(memo::v1::SessionService::Stub& sessions, const google::protobuf::Message& state,
                 const Metadata& metadata) {
  for (const auto& [name, value] : metadata) context_.AddMetadata(name, value);
  OpenSessionRequest request;
  request.mutable_state()->PackFrom(state);
  stream_ = sessions.OpenSession(&context_, request);
}

Opening::~Opening() {
  Cancel();
  Wait();
}

const std::string& Opening::handle() {
  OpenSessionResponse response;
  if (!told_ && stream_->Read(&response)) opened_ = response.opened();
  told_ = true;
  return opened_.handle();
}

const grpc::Status& Opening::Wait() {
  if (ended_) return status_;
  OpenSessionResponse response;
  while (stream_->Read(&response)) {
  }
  status_ = stream_->Finish();
  ended_ = true;
  return status_;
}

}  // namespace memod
