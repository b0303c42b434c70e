#include "memod/client/client.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "memod/client/deadline.h"
#include "memod/client/servers.h"
#include "memod/client/session.h"

namespace memod {
namespace {

// A channel that has failed keeps the reason to itself, but tells it to a call.
absl::Status WhyNotConnected(const Connections& to) {
  grpc::ClientContext context;
  context.set_deadline(DeadlineAfter(to.options.connect_timeout));
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
  const auto deadline = DeadlineAfter(to.options.connect_timeout);
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
  return Connect(std::vector<std::string>{target}, std::move(options));
}

absl::StatusOr<Client> Client::Connect(const std::vector<std::string>& targets,
                                       ClientOptions options) {
  absl::Status connected = absl::InvalidArgumentError("no server is given to connect to");
  if (targets.empty()) return connected;
  auto servers = std::make_shared<const Servers>(targets, options);
  for (size_t place = 0; place < servers->size(); ++place) {
    connected = AwaitConnected(servers->at(place));
    if (!connected.ok()) continue;
    servers->at(place).calls->GetState(/*try_to_connect=*/true);  // ready by the first call
    return Client(std::make_shared<const SharedServers>(std::move(servers)), place);
  }
  return connected;
}

Client::Client(std::shared_ptr<const SharedServers> servers, size_t first)
    : servers_(std::move(servers)), first_(first) {}

std::shared_ptr<grpc::Channel> Client::channel() const { return servers_->all->at(first_).calls; }

absl::StatusOr<SessionHandle> Client::OpenSession(const google::protobuf::Message& state,
                                                  SessionEvents events) const {
  return Open(PackState(state), std::move(events));
}

absl::StatusOr<SessionHandle> Client::OpenSession(SessionEvents events) const {
  return Open(std::nullopt, std::move(events));
}

absl::StatusOr<SessionHandle> Client::Open(std::optional<google::protobuf::Any> state,
                                           SessionEvents events) const {
  const absl::Time deadline = absl::Now() + absl::FromChrono(servers_->all->options().call_timeout);
  const auto keeper =
      std::make_shared<SessionKeeper>(servers_->all, std::move(state), std::move(events));
  auto session = std::make_unique<SessionHandle::Session>(servers_, keeper);
  if (absl::Status opened = keeper->Open(deadline); !opened.ok()) return opened;
  session->channel = std::make_shared<SessionChannel>(servers_->all->at(first_).calls,
                                                      [keeper] { return keeper->calls(); });
  session->service = memo::v1::SessionService::NewStub(session->channel);
  return SessionHandle(std::move(session));
}

}  // namespace memod
