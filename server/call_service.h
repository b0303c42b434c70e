// The front door: memoized methods as raw unary methods of one gRPC service.
//
// It turns a gRPC call into Dispatcher::Call and the outcome into the answer; a hit goes out as the
// bytes that are stored, neither parsed nor copied. It contains no policy. Errors of its own:
//   RESOURCE_EXHAUSTED: the request is larger than server.max_request_bytes, or the metadata than
//     server.max_metadata_bytes (memo-error: LIMIT).
//   INVALID_ARGUMENT: memo-control is not one of its words, or sent twice (BAD_REQUEST).
#pragma once

#include <grpcpp/impl/service_type.h>

#include <cstdint>
#include <vector>

#include "memod/server/calls_in_flight.h"
#include "memod/server/dispatcher.h"
#include "memod/server/upstream.h"

namespace memod {

// Registered as generated code registers its methods, so that stock reflection and the health
// service see it.
class CallService : public grpc::Service {
 public:
  struct Shared {
    Dispatcher& dispatcher;
    Admission& admission;
    const int64_t max_request_bytes;
    CallsInFlight calls{};
  };

  struct Served {
    const Method* method;
    Upstream* pass;  // whom a call that needs a session and has none goes to; null: it is refused
  };
  // All outlive this and the gRPC server that it is registered with.
  CallService(Shared& shared, const std::vector<Served>& methods);
};

}  // namespace memod
