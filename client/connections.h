// What a Client and its sessions share. Internal to the library.
#pragma once

#include <google/protobuf/any.pb.h>
#include <google/protobuf/message.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memo/v1/session.grpc.pb.h"
#include "memod/client/client.h"
#include "memod/client/grpc_status.h"

namespace memod {

// Thread-safe and constant.
struct Connections {
  Connections(std::string target, ClientOptions options);

  // A channel over the connection of calls that adds `handle` to each of them.
  std::shared_ptr<grpc::Channel> CallsOf(const std::string& handle) const;

  // One of the session service's own calls, for the session of `handle`.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (memo::v1::SessionService::Stub::*method)(
                                    grpc::ClientContext*, const Request&, Response*),
                                const std::string& handle, const Request& request) const {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + options.call_timeout);
    context.AddMetadata("memo-session", handle);
    Response response;
    const grpc::Status status = (service.get()->*method)(&context, request, &response);
    if (!status.ok()) return FromGrpc(status);
    return response;
  }

  const std::string target;
  const ClientOptions options;
  const std::shared_ptr<grpc::Channel> streams;  // a connection of its own
  const std::shared_ptr<grpc::Channel> calls;
  const std::unique_ptr<memo::v1::SessionService::Stub> service;  // over `calls`
};

// A state as requests carry it: packed, unless it is an Any already.
google::protobuf::Any PackState(const google::protobuf::Message& state);

}  // namespace memod
