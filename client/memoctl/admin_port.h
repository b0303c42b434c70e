// A server's admin port, as memoctl asks it.
#pragma once

#include <grpcpp/client_context.h>

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "memo/v1/admin.grpc.pb.h"
#include "memod/client/memoctl/transport.h"

namespace memod {

// Connects when first asked. One question at a time; Cancel from any thread.
class AdminPort {
 public:
  // `timeout`: of each question.
  AdminPort(std::string address, absl::Duration timeout, const Transport& transport);

  const std::string& address() const { return address_; }

  //   admin.Ask(&AdminService::Stub::ListMethods, ListMethodsRequest())
  //
  // Errors: the server's, unchanged; UNAVAILABLE and DEADLINE_EXCEEDED name the address.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Ask(grpc::Status (memo::v1::AdminService::Stub::*method)(
                                   grpc::ClientContext*, const Request&, Response*),
                               const Request& request) {
    grpc::ClientContext context;
    Response response;
    const absl::Status status =
        Run(context, [&] { return (stub_.get()->*method)(&context, request, &response); });
    if (!status.ok()) return status;
    return response;
  }

  // The question under way, and any later one, ends with CANCELLED.
  void Cancel() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  template <typename Call>
  absl::Status Run(grpc::ClientContext& context, Call call) {
    if (!Begin(context)) return absl::CancelledError("");
    const grpc::Status status = call();
    return End(status);
  }
  bool Begin(grpc::ClientContext& context) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status End(const grpc::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);

  const std::string address_;
  const absl::Duration timeout_;
  const std::unique_ptr<memo::v1::AdminService::Stub> stub_;

  absl::Mutex mutex_;
  grpc::ClientContext* asking_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace memod
