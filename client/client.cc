#include "memod/client/client.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "memod/client/connections.h"
#include "memod/client/holding_stream.h"
#include "memod/client/session.h"

namespace memod {
namespace {

// A channel that has failed keeps the reason to itself, but tells it to a call.
absl::Status WhyNotConnected(const Connections& to) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + to.options.connect_timeout);
  memo::v1::GetCacheInfoResponse response;
  const grpc::Status status =
      memo::v1::SessionService::NewStub(to.streams)->GetCacheInfo(&context, {}, &response);
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
    return absl::DeadlineExceededError(absl::StrCat(to.target, ": no connection in time"));
  }
  // Any other answer comes from a server: it is there after all.
  if (status.error_code() != grpc::StatusCode::UNAVAILABLE) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(to.target, ": ", status.error_message()));
}

absl::Status AwaitConnected(const Connections& to) {
  const auto deadline = std::chrono::system_clock::now() + to.options.connect_timeout;
  for (;;) {
    const grpc_connectivity_state state = to.streams->GetState(/*try_to_connect=*/true);
    if (state == GRPC_CHANNEL_READY) return absl::OkStatus();
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE) return WhyNotConnected(to);
    if (!to.streams->WaitForStateChange(state, deadline)) {
      return absl::DeadlineExceededError(absl::StrCat(to.target, ": no connection in time"));
    }
  }
}

}  // namespace

absl::StatusOr<Client> Client::Connect(const std::string& target, ClientOptions options) {
  auto connections = std::make_shared<const Connections>(target, std::move(options));
  if (absl::Status connected = AwaitConnected(*connections); !connected.ok()) return connected;
  connections->calls->GetState(/*try_to_connect=*/true);  // ready by the first call
  return Client(std::move(connections));
}

Client::Client(std::shared_ptr<const Connections> connections)
    : connections_(std::move(connections)) {}

std::shared_ptr<grpc::Channel> Client::channel() const { return connections_->calls; }

absl::StatusOr<SessionHandle> Client::OpenSession(const google::protobuf::Message& state,
                                                  SessionEvents events) const {
  memo::v1::OpenSessionRequest request;
  *request.mutable_state() = PackState(state);
  return Open(std::move(request), std::move(events));
}

absl::StatusOr<SessionHandle> Client::OpenSession(SessionEvents events) const {
  return Open({}, std::move(events));
}

absl::StatusOr<SessionHandle> Client::Open(memo::v1::OpenSessionRequest request,
                                           SessionEvents events) const {
  const absl::Time deadline = absl::Now() + absl::FromChrono(connections_->options.call_timeout);
  auto session = std::make_unique<SessionHandle::Session>(
      connections_,
      HoldingStream::Start(connections_->streams, std::move(request), std::move(events)));
  absl::StatusOr<memo::v1::Opened> opened = session->stream->AwaitOpened(deadline);
  if (!opened.ok()) return opened.status();
  session->opened = *std::move(opened);
  return SessionHandle(std::move(session));
}

}  // namespace memod
