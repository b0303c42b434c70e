#include "memod/client/memoctl/admin_port.h"

#include <grpcpp/create_channel.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "memod/client/grpc_status.h"

namespace memod {
namespace {

std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address, const Transport& transport) {
  grpc::ChannelArguments arguments = transport.arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);  // the admin port is on loopback, or close by
  // What is watched may be started anew: do not wait ever longer for it to be back.
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  return grpc::CreateCustomChannel(address, transport.credentials, arguments);
}

}  // namespace

AdminPort::AdminPort(std::string address, absl::Duration timeout, const Transport& transport)
    : address_(std::move(address)),
      timeout_(timeout),
      stub_(memo::v1::AdminService::NewStub(ChannelTo(address_, transport))) {}

void AdminPort::Cancel() {
  absl::MutexLock lock(&mutex_);
  cancelled_ = true;
  if (asking_ != nullptr) asking_->TryCancel();
}

bool AdminPort::Begin(grpc::ClientContext& context) {
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout_));
  absl::MutexLock lock(&mutex_);
  if (cancelled_) return false;
  asking_ = &context;
  return true;
}

absl::Status AdminPort::End(const grpc::Status& status) {
  {
    absl::MutexLock lock(&mutex_);
    asking_ = nullptr;
  }
  absl::Status why = FromGrpc(status);
  if (absl::IsUnimplemented(why) && why.message().empty()) {
    return absl::UnimplementedError(
        absl::StrCat("admin port ", address_, " does not know this question: an older memod?"));
  }
  // These two tell that the answer is not the server's own; then it matters who was asked.
  if (!absl::IsUnavailable(why) && !absl::IsDeadlineExceeded(why)) return why;
  return absl::Status(why.code(),
                      absl::StrCat("admin port ", address_, ": ", status.error_message()));
}

}  // namespace memod
