#include "memod/client/connections.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/support/client_interceptor.h>

#include <algorithm>
#include <climits>
#include <utility>
#include <vector>

namespace memod {

using memo::v1::SessionService;

namespace {

// What is too long for gRPC's arguments is as good as for ever, which INT_MAX means there.
int ToInt(std::chrono::milliseconds time) {
  return static_cast<int>(std::min<std::chrono::milliseconds::rep>(time.count(), INT_MAX));
}

grpc::ChannelArguments Arguments(const ClientOptions& options) {
  grpc::ChannelArguments arguments = options.arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, ToInt(options.keepalive_time));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, ToInt(options.keepalive_timeout));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // Without this pings stop after two, and a frozen server is never noticed.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // A server that comes back is found soon; gRPC's own pauses grow to two minutes.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  return arguments;
}

// A session that is let go of just when the connection is lost is not to wait for its client for as
// long as the resume window.
constexpr const char* kClosingConfig = R"({"methodConfig": [{
  "name": [{"service": "memo.v1.SessionService", "method": "CloseSession"}],
  "waitForReady": true,
  "retryPolicy": {"maxAttempts": 5, "initialBackoff": "0.1s", "maxBackoff": "2s",
                  "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}}]})";

grpc::ChannelArguments ArgumentsOfStreams(const ClientOptions& options) {
  grpc::ChannelArguments arguments = Arguments(options);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetServiceConfigJSON(kClosingConfig);
  return arguments;
}

ClientOptions WithCredentials(ClientOptions options) {
  if (options.credentials == nullptr) options.credentials = grpc::InsecureChannelCredentials();
  return options;
}

// Adds the handle when a call is made: a call that has no other need has no interceptor.
class HandleAdder final : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  HandleAdder(std::string handle, std::shared_ptr<const void> kept,
              Connections::CreateInterceptor interceptor)
      : handle_(std::move(handle)), kept_(std::move(kept)), interceptor_(std::move(interceptor)) {}

  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo* info) override {
    info->client_context()->AddMetadata("memo-session", handle_);
    return interceptor_(info);
  }

 private:
  const std::string handle_;
  const std::shared_ptr<const void> kept_;
  const Connections::CreateInterceptor interceptor_;
};

// A call of the session service that nobody waits for; gone once it has ended.
template <typename Request, typename Response>
struct OwnCall {
  OwnCall(const std::string& handle, std::chrono::milliseconds timeout) {
    context.AddMetadata("memo-session", handle);
    context.set_deadline(DeadlineAfter(timeout));
  }

  grpc::ClientContext context;
  Request request;
  Response response;
};

}  // namespace

Connections::Connections(std::string target, ClientOptions options)
    : target(std::move(target)),
      options(WithCredentials(std::move(options))),
      streams(grpc::CreateCustomChannel(this->target, this->options.credentials,
                                        ArgumentsOfStreams(this->options))),
      calls(grpc::CreateCustomChannel(this->target, this->options.credentials,
                                      Arguments(this->options))),
      service(SessionService::NewStub(calls)) {}

std::shared_ptr<grpc::Channel> Connections::CallsOf(const std::string& handle,
                                                    std::shared_ptr<const void> kept,
                                                    CreateInterceptor interceptor) const {
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> factories;
  factories.push_back(
      std::make_unique<HandleAdder>(handle, std::move(kept), std::move(interceptor)));
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      target, options.credentials, Arguments(options), std::move(factories));
}

void Connections::ReachCalls(const std::string& handle, std::function<void()> then) const {
  using Asking = OwnCall<memo::v1::GetCacheInfoRequest, memo::v1::GetCacheInfoResponse>;
  auto asking = std::make_shared<Asking>(handle, options.connect_timeout);
  asking->context.set_wait_for_ready(true);
  service->async()->GetCacheInfo(&asking->context, &asking->request, &asking->response,
                                 [asking, then = std::move(then)](const grpc::Status&) { then(); });
}

void Connections::CloseSoon(const std::string& handle) const {
  using Closing = OwnCall<memo::v1::CloseSessionRequest, memo::v1::CloseSessionResponse>;
  auto closing = std::make_shared<Closing>(handle, options.call_timeout);
  closings->Begin();
  // Beside the calls, whose connection this must not send looking for a server that is gone.
  SessionService::NewStub(streams)->async()->CloseSession(
      &closing->context, &closing->request, &closing->response,
      [closing, closings = closings](const grpc::Status&) { closings->End(); });
}

void Connections::ConnectNow() const {
  grpc::experimental::ChannelResetConnectionBackoff(streams.get());
  grpc::experimental::ChannelResetConnectionBackoff(calls.get());
}

google::protobuf::Any PackState(const google::protobuf::Message& state) {
  google::protobuf::Any any;
  if (state.GetDescriptor()->full_name() == any.GetDescriptor()->full_name()) {
    any.ParseFromString(state.SerializeAsString());
  } else {
    any.PackFrom(state);
  }
  return any;
}

}  // namespace memod
