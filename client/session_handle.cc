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

absl::StatusOr<memo::v1::CloseSessionResponse> CloseOn(const Seat& seat) {
  return seat.server().Call(&SessionService::Stub::CloseSession, seat.opened.handle(),
                            memo::v1::CloseSessionRequest());
}

}  // namespace

SessionHandle::SessionHandle(std::unique_ptr<Session> session) : session_(std::move(session)) {}
SessionHandle::SessionHandle(SessionHandle&& other) noexcept = default;
SessionHandle& SessionHandle::operator=(SessionHandle&& other) noexcept = default;
SessionHandle::~SessionHandle() = default;

std::string SessionHandle::id() const { return session_->keeper->seat()->opened.session_id(); }
std::string SessionHandle::handle() const { return session_->keeper->seat()->opened.handle(); }
absl::Status SessionHandle::status() const { return session_->keeper->status(); }
bool SessionHandle::draining() const { return session_->keeper->draining(); }

std::shared_ptr<grpc::ChannelInterface> SessionHandle::channel() const { return session_->channel; }

Pipeline SessionHandle::Pipeline(const PipelineOptions& options) const {
  return memod::Pipeline(PipelineCalls::Start(session_->keeper->calls(), options));
}

absl::StatusOr<ReleaseReceipt> SessionHandle::UpdateState(const google::protobuf::Message& state) {
  memo::v1::UpdateStateRequest request;
  *request.mutable_state() = PackState(state);
  // One at a time, so that what is kept is what the server took last.
  const absl::MutexLock lock(&session_->updating);
  const absl::Time deadline = session_->Deadline();
  for (;;) {
    const std::shared_ptr<Seat> seat = session_->keeper->seat();
    auto receipt = ReceiptOf(session_->Call(&SessionService::Stub::UpdateState, request, deadline));
    if (!receipt.ok() || session_->keeper->KeepState(request.state(), seat)) return receipt;
    // It moved meanwhile, and may have taken the former state along.
  }
}

absl::StatusOr<ReleaseReceipt> SessionHandle::ClearCache(const std::string& method) {
  memo::v1::ClearCacheRequest request;
  request.set_method(method);
  return ReceiptOf(
      session_->Call(&SessionService::Stub::ClearCache, request, session_->Deadline()));
}

absl::StatusOr<ReleaseReceipt> SessionHandle::Forget(const std::string& method,
                                                     const google::protobuf::Message& request) {
  memo::v1::ForgetRequest forget;
  forget.set_method(method);
  forget.set_request(request.SerializeAsString());
  return ReceiptOf(session_->Call(&SessionService::Stub::Forget, forget, session_->Deadline()));
}

absl::StatusOr<memo::v1::GetCacheInfoResponse> SessionHandle::GetCacheInfo(
    const std::string& method) const {
  memo::v1::GetCacheInfoRequest request;
  request.set_method(method);
  return session_->Call(&SessionService::Stub::GetCacheInfo, request, session_->Deadline());
}

absl::StatusOr<ReleaseReceipt> SessionHandle::Close() {
  // Released first, so that the end that this call brings about is not told as a loss.
  const absl::Status before = session_->keeper->Release();
  auto receipt = before.ok() ? ReceiptOf(CloseOn(*session_->keeper->seat()))
                             : absl::StatusOr<ReleaseReceipt>(before);
  session_->keeper->LetGo();
  return receipt;
}

}  // namespace memod
