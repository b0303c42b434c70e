// The connections to one server, which a Client and its sessions share. Internal to the library.
#pragma once

#include <google/protobuf/any.pb.h>
#include <google/protobuf/message.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/client_interceptor.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memo/v1/session.grpc.pb.h"
#include "memod/client/client.h"
#include "memod/client/closings.h"
#include "memod/client/deadline.h"
#include "memod/client/grpc_status.h"

namespace memod {

// Thread-safe and constant.
struct Connections {
  Connections(std::string target, ClientOptions options);

  // Null: the call that is being made has none.
  using CreateInterceptor =
      std::function<grpc::experimental::Interceptor*(grpc::experimental::ClientRpcInfo*)>;

  // A channel over the connection of calls that adds `handle` to each of them. It keeps `kept`, as
  // do calls made on it, until their contexts are destroyed.
  std::shared_ptr<grpc::Channel> CallsOf(const std::string& handle,
                                         std::shared_ptr<const void> kept,
                                         CreateInterceptor interceptor) const;

  // Runs `then` once the connection of calls has led to the server, or connect_timeout is over.
  // Neither waits.
  void ReachCalls(const std::string& handle, std::function<void()> then) const;
  // Asks the server to close a session, and does not wait for the answer.
  void CloseSoon(const std::string& handle) const;
  // gRPC is not to wait with connecting because it failed before.
  void ConnectNow() const;

  // One of the session service's own calls, for the session of `handle`.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (memo::v1::SessionService::Stub::*method)(
                                    grpc::ClientContext*, const Request&, Response*),
                                const std::string& handle, const Request& request) const {
    grpc::ClientContext context;
    context.set_deadline(DeadlineAfter(options.call_timeout));
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
  const std::unique_ptr<memo::v1::SessionService::Stub> service;            // over `calls`
  const std::shared_ptr<Closings> closings = std::make_shared<Closings>();  // of CloseSoon
};

// A state as requests carry it: packed, unless it is an Any already.
google::protobuf::Any PackState(const google::protobuf::Message& state);

}  // namespace memod
