// What passes through: calls that nobody here serves go to the upstream as they are, of any kind of
// streaming, and its answers come back as they are.
//
// One message at a time is under way in each direction, so a slow reader holds back whoever sends,
// and memory stays bounded. The upstream has the caller's deadline, and is cancelled with it.
// memod's own metadata (memo-...) stays here.
#pragma once

#include <grpcpp/generic/async_generic_service.h>

#include "memod/server/admission.h"
#include "memod/server/calls_in_flight.h"
#include "memod/server/upstreams.h"

namespace memod {

class ProxyService final : public grpc::CallbackGenericService {
 public:
  // All outlive it.
  ProxyService(const Upstreams& upstreams, Admission& admission, CallsInFlight& calls)
      : upstreams_(upstreams), admission_(admission), calls_(calls) {}

  // UNIMPLEMENTED: no upstream serves the method. RESOURCE_EXHAUSTED: as Admission says.
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;

 private:
  const Upstreams& upstreams_;
  Admission& admission_;
  CallsInFlight& calls_;
};

}  // namespace memod
