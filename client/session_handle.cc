#include "memod/client/session_handle.h"

#include <utility>

#include "memod/client/pipeline_calls.h"
#include "memod/client/session.h"

namespace memod {

using memo::v1::ReleaseReceipt;
using memo::v1::SessionService;

namespace {

template <typename Response>
absl::StatusOr<ReleaseReceipt> ReceiptOf(absl::StatusOr<Response> response) {
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_receipt());
}

}  // namespace

SessionHandle::SessionHandle(std::unique_ptr<Session> session) : session_(std::move(session)) {}
SessionHandle::SessionHandle(SessionHandle&& other) noexcept = default;
SessionHandle& SessionHandle::operator=(SessionHandle&& other) noexcept = default;
SessionHandle::~SessionHandle() = default;

const std::string& SessionHandle::id() const { return session_->opened.session_id(); }
const std::string& SessionHandle::handle() const { return session_->opened.handle(); }
absl::Status SessionHandle::status() const { return session_->stream->status(); }
bool SessionHandle::draining() const { return session_->stream->draining(); }

std::shared_ptr<grpc::Channel> SessionHandle::channel() const {
  std::call_once(session_->channel_made,
                 [this] { session_->channel = session_->connections->CallsOf(handle()); });
  return session_->channel;
}

Pipeline SessionHandle::Pipeline(const PipelineOptions& options) const {
  return memod::Pipeline(PipelineCalls::Start(session_->connections->calls, handle(), options));
}

absl::StatusOr<ReleaseReceipt> SessionHandle::UpdateState(const google::protobuf::Message& state) {
  memo::v1::UpdateStateRequest request;
  *request.mutable_state() = PackState(state);
  return ReceiptOf(
      session_->connections->Call(&SessionService::Stub::UpdateState, handle(), request));
}

absl::StatusOr<ReleaseReceipt> SessionHandle::ClearCache(const std::string& method) {
  memo::v1::ClearCacheRequest request;
  request.set_method(method);
  return ReceiptOf(
      session_->connections->Call(&SessionService::Stub::ClearCache, handle(), request));
}

absl::StatusOr<ReleaseReceipt> SessionHandle::Forget(const std::string& method,
                                                     const google::protobuf::Message& request) {
  memo::v1::ForgetRequest forget;
  forget.set_method(method);
  forget.set_request(request.SerializeAsString());
  return ReceiptOf(session_->connections->Call(&SessionService::Stub::Forget, handle(), forget));
}

absl::StatusOr<memo::v1::GetCacheInfoResponse> SessionHandle::GetCacheInfo(
    const std::string& method) const {
  memo::v1::GetCacheInfoRequest request;
  request.set_method(method);
  return session_->connections->Call(&SessionService::Stub::GetCacheInfo, handle(), request);
}

absl::StatusOr<ReleaseReceipt> SessionHandle::Close() {
  // Released first, so that the end that this call brings about is not told as a loss.
  if (absl::Status before = session_->stream->Release(); !before.ok()) return before;
  auto receipt = ReceiptOf(session_->connections->Call(&SessionService::Stub::CloseSession,
                                                       handle(), memo::v1::CloseSessionRequest()));
  session_->stream->Cancel();
  return receipt;
}

}  // namespace memod
