#include "memod/client/connections.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/support/client_interceptor.h>

#include <utility>
#include <vector>

namespace memod {
namespace {

grpc::ChannelArguments Arguments(const ClientOptions& options) {
  grpc::ChannelArguments arguments = options.arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, static_cast<int>(options.keepalive_time.count()));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                   static_cast<int>(options.keepalive_timeout.count()));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // Without this pings stop after two, and a frozen server is never noticed.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  return arguments;
}

grpc::ChannelArguments ArgumentsOfStreams(const ClientOptions& options) {
  grpc::ChannelArguments arguments = Arguments(options);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return arguments;
}

ClientOptions WithCredentials(ClientOptions options) {
  if (options.credentials == nullptr) options.credentials = grpc::InsecureChannelCredentials();
  return options;
}

// Adds the handle when a call is made, which needs no interceptor in the call itself.
class HandleAdder final : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit HandleAdder(std::string handle) : handle_(std::move(handle)) {}

  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo* info) override {
    info->client_context()->AddMetadata("memo-session", handle_);
    return nullptr;
  }

 private:
  const std::string handle_;
};

}  // namespace

Connections::Connections(std::string target, ClientOptions options)
    : target(std::move(target)),
      options(WithCredentials(std::move(options))),
      streams(grpc::CreateCustomChannel(this->target, this->options.credentials,
                                        ArgumentsOfStreams(this->options))),
      calls(grpc::CreateCustomChannel(this->target, this->options.credentials,
                                      Arguments(this->options))),
      service(memo::v1::SessionService::NewStub(calls)) {}

std::shared_ptr<grpc::Channel> Connections::CallsOf(const std::string& handle) const {
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> factories;
  factories.push_back(std::make_unique<HandleAdder>(handle));
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      target, options.credentials, Arguments(options), std::move(factories));
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
