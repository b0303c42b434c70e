#include "memod/server/unary_pass.h"

#include <grpcpp/client_context.h>

#include <utility>

#include "memod/server/grpc_metadata.h"
#include "memod/server/grpc_status.h"

namespace memod {
namespace {

// Deletes itself when the caller has its answer, which is after the upstream is done.
class UnaryPass final : public grpc::ServerUnaryReactor {
 public:
  UnaryPass(Upstream& upstream, CallsInFlight& calls, Admission::Place place,
            grpc::CallbackServerContext& caller, const grpc::ByteBuffer& request,
            grpc::ByteBuffer& response)
      : upstream_(upstream),
        calls_(calls),
        place_(std::move(place)),
        caller_(caller),
        request_(request),
        response_(response) {
    calls_.Enter();
  }
  ~UnaryPass() { calls_.Leave(); }

  void Start(const std::string& method) {
    if (const absl::Status begun = upstream_.Begin(); !begun.ok()) {
      place_ = {};
      return Finish(ToGrpcStatus(begun, caller_));
    }
    CopyToUpstream(caller_, context_);
    upstream_.stub().UnaryCall(&context_, method, {}, &request_, &response_,
                               [this](const grpc::Status& status) { Ended(status); });
  }

 private:
  void Ended(const grpc::Status& status) {
    place_ = {};
    CopyInitialMetadata(context_, caller_);
    const absl::Status ended =
        upstream_.EndedUnary(status, context_.GetServerTrailingMetadata(), response_);
    if (ended.ok()) {
      CopyTrailers(context_, caller_);
      calls_.unsent().Add(unsent_, caller_, response_.Length());
    }
    Finish(ToGrpcStatus(ended, caller_));
  }

  void OnCancel() override { context_.TryCancel(); }
  void OnDone() override { delete this; }
  // Neither reaction waits for anything, so they need no thread of their own.
  bool InternalInlineable() override { return true; }

  Upstream& upstream_;
  CallsInFlight& calls_;
  Admission::Place place_;  // until it is answered
  grpc::CallbackServerContext& caller_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer& response_;
  UnsentAnswer unsent_;
};

// The same where the method is not registered, so that its one message has to be asked for. A caller
// who never sends it takes nobody's place, and holds up no drain.
class GenericUnaryPass final : public grpc::ServerGenericBidiReactor {
 public:
  GenericUnaryPass(Upstream& upstream, CallsInFlight& calls, Admission& admission,
                   grpc::GenericCallbackServerContext& caller)
      : upstream_(upstream), calls_(calls), admission_(admission), caller_(caller) {
    calls_.BeginSilent();
    StartRead(&request_);
  }
  ~GenericUnaryPass() { silent_ ? calls_.EndSilent() : calls_.Leave(); }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return Finish(NoRequest());
    calls_.EnterSilent();
    silent_ = false;
    auto place = AdmitPass(admission_, caller_);
    if (!place.ok()) return Finish(ToGrpcStatus(place.status(), caller_));
    place_ = *std::move(place);
    if (const absl::Status begun = upstream_.Begin(); !begun.ok()) {
      place_ = {};
      return Finish(ToGrpcStatus(begun, caller_));
    }
    CopyToUpstream(caller_, context_);
    upstream_.stub().UnaryCall(&context_, caller_.method(), {}, &request_, &response_,
                               [this](const grpc::Status& status) { Ended(status); });
  }

  void Ended(const grpc::Status& status) {
    place_ = {};
    CopyInitialMetadata(context_, caller_);
    const absl::Status ended =
        upstream_.EndedUnary(status, context_.GetServerTrailingMetadata(), response_);
    if (!ended.ok()) return Finish(ToGrpcStatus(ended, caller_));
    CopyTrailers(context_, caller_);
    calls_.unsent().Add(unsent_, caller_, response_.Length());
    StartWriteAndFinish(&response_, {}, grpc::Status::OK);
  }

  void OnCancel() override { context_.TryCancel(); }
  void OnDone() override { delete this; }

  Upstream& upstream_;
  CallsInFlight& calls_;
  Admission& admission_;
  bool silent_ = true;
  Admission::Place place_;  // from its message until it is answered
  grpc::GenericCallbackServerContext& caller_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
  UnsentAnswer unsent_;
};

}  // namespace

absl::StatusOr<Admission::Place> AdmitPass(Admission& admission,
                                           const grpc::CallbackServerContext& context) {
  absl::Status admitted = admission.Check();
  if (admitted.ok()) {
    admitted = CheckMetadata(context.client_metadata(), admission.max_metadata_bytes());
  }
  if (!admitted.ok()) return admitted;
  return admission.Enter(nullptr);
}

grpc::ServerGenericBidiReactor* PassUnary(Upstream& upstream, CallsInFlight& calls,
                                          Admission& admission,
                                          grpc::GenericCallbackServerContext& context) {
  return new GenericUnaryPass(upstream, calls, admission, context);
}

grpc::ServerUnaryReactor* PassUnary(Upstream& upstream, const std::string& method,
                                    CallsInFlight& calls, Admission::Place place,
                                    grpc::CallbackServerContext& context,
                                    const grpc::ByteBuffer& request, grpc::ByteBuffer& response) {
  auto* pass = new UnaryPass(upstream, calls, std::move(place), context, request, response);
  pass->Start(method);
  return pass;
}

}  // namespace memod
