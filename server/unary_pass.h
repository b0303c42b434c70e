// A unary call passed to an upstream as it is: see ProxyService, which does the same for calls of
// methods that are not registered.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <string>

#include "memod/server/calls_in_flight.h"
#include "memod/server/upstream.h"

namespace memod {

// What the handler of the call returns. All but `request` outlive the call.
grpc::ServerUnaryReactor* PassUnary(Upstream& upstream, const std::string& method,
                                    CallsInFlight& calls, grpc::CallbackServerContext& context,
                                    const grpc::ByteBuffer& request, grpc::ByteBuffer& response);

}  // namespace memod
