// A unary call passed to an upstream as it is: one operation there, where ProxyService's of any kind
// of streaming is many, each with a change of threads.
#pragma once

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <string>

#include "absl/status/statusor.h"
#include "memod/server/admission.h"
#include "memod/server/calls_in_flight.h"
#include "memod/server/upstream.h"

namespace memod {

// Lets in a call that will pass, of any kind. RESOURCE_EXHAUSTED: as Admission and CheckMetadata say.
absl::StatusOr<Admission::Place> AdmitPass(Admission& admission,
                                           const grpc::CallbackServerContext& context);

// What the handler of the call returns. All but `request` outlive the call.
grpc::ServerUnaryReactor* PassUnary(Upstream& upstream, const std::string& method,
                                    CallsInFlight& calls, Admission::Place place,
                                    grpc::CallbackServerContext& context,
                                    const grpc::ByteBuffer& request, grpc::ByteBuffer& response);

// The same of a method that is not registered: it is let in once its message is there, and
// silent in `calls` until then.
grpc::ServerGenericBidiReactor* PassUnary(Upstream& upstream, CallsInFlight& calls,
                                          Admission& admission,
                                          grpc::GenericCallbackServerContext& context);

}  // namespace memod
