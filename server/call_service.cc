#include "memod/server/call_service.h"

#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>
#include <grpcpp/support/slice.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memod/cache/memo_error.h"
#include "memod/server/answer_slice.h"
#include "memod/server/grpc_metadata.h"
#include "memod/server/grpc_status.h"
#include "memod/server/unary_pass.h"

namespace memod {
namespace {

using grpc::ByteBuffer;

std::string_view ToStd(grpc::string_ref s) { return {s.data(), s.size()}; }

absl::StatusOr<Control> ControlOf(const grpc::CallbackServerContext& context) {
  const auto [begin, end] = context.client_metadata().equal_range("memo-control");
  if (begin == end) return Control::kNone;
  const std::string_view word = ToStd(begin->second);
  if (std::next(begin) == end) {
    if (word == "bypass") return Control::kBypass;
    if (word == "refresh") return Control::kRefresh;
    if (word == "no-store") return Control::kNoStore;
    if (word == "only-if-cached") return Control::kOnlyIfCached;
  }
  return MemoError(absl::StatusCode::kInvalidArgument, memo_error::kBadRequest,
                   "the metadata memo-control is one of: bypass, refresh, no-store, "
                   "only-if-cached");
}

const char* Name(CacheStatus status) {
  switch (status) {
    case CacheStatus::kHit:
      return "hit";
    case CacheStatus::kMiss:
      return "miss";
    case CacheStatus::kCoalesced:
      return "coalesced";
    case CacheStatus::kBypass:
      return "bypass";
    case CacheStatus::kStale:
      return "stale";
  }
  return "";
}

grpc::ServerUnaryReactor* Refuse(grpc::CallbackServerContext& context, const grpc::Status& status) {
  grpc::ServerUnaryReactor* refusal = context.DefaultReactor();
  refusal->Finish(status);
  return refusal;
}

// One call, from its coming in to its having been answered. To gRPC it is the method's response, a
// message: made within the memory of the call itself, and dropped once the call is done.
class PendingCall final : public grpc::ServerUnaryReactor, public Waiter {
 public:
  // What the handler returns.
  grpc::ServerUnaryReactor* Start(CallService::Shared& shared, const Method& method,
                                  grpc::CallbackServerContext& context, const ByteBuffer& request) {
    calls_ = &shared.calls;
    context_ = &context;
    calls_->Enter();
    absl::StatusOr<Dispatcher::Answered> answered = Dispatch(shared, method, request);
    if (!answered.ok()) {
      OnAnswer({answered.status()});
    } else if (const auto* outcome = std::get_if<Outcome>(&*answered)) {
      OnAnswer(*outcome);
    } else {
      // OnCancel comes only after the handler has returned this reactor, so it sees the flight.
      flight_ = std::get<std::shared_ptr<Flight>>(*std::move(answered));
    }
    return this;
  }

  // The message, once there is one. gRPC takes it out to send it, where it would copy a ByteBuffer.
  ByteBuffer& bytes() const { return bytes_; }

 private:
  void OnAnswer(const Outcome& outcome) override {
    place_ = {};
    const bool is_hit =
        outcome.status == CacheStatus::kHit || outcome.status == CacheStatus::kStale;
    // Of an error it is told only when it comes from memory: of others it says nothing.
    if (outcome.answer.ok() || is_hit) {
      context_->AddInitialMetadata("memo-cache", Name(outcome.status));
    }
    if (is_hit) {
      context_->AddInitialMetadata(
          "memo-age",
          absl::StrCat(std::chrono::duration_cast<std::chrono::seconds>(outcome.age).count()));
    }
    if (!outcome.answer.ok()) {
      return Finish(ToGrpcStatus(outcome.answer.status(), *context_));
    }
    for (const auto& [name, value] : (*outcome.answer)->metadata()) {
      context_->AddInitialMetadata(name, value);
    }
    const grpc::Slice slice = ToSlice(*outcome.answer);
    calls_->unsent().Add(unsent_, *context_, slice.size());
    ByteBuffer(&slice, 1).Swap(&bytes_);
    Finish(grpc::Status());
  }

  absl::StatusOr<Dispatcher::Answered> Dispatch(CallService::Shared& shared, const Method& method,
                                                const ByteBuffer& request) {
    if (absl::Status admitted = shared.admission.Check(); !admitted.ok()) return admitted;
    absl::StatusOr<Control> control = ControlOf(*context_);
    if (!control.ok()) return control.status();
    const absl::Status metadata =
        CheckMetadata(context_->client_metadata(), shared.admission.max_metadata_bytes());
    if (!metadata.ok()) return metadata;
    if (const auto length = static_cast<int64_t>(request.Length());
        length > shared.max_request_bytes) {
      return MemoError(absl::StatusCode::kResourceExhausted, memo_error::kLimit,
                       absl::StrCat("the request is ", length, " bytes, limit ",
                                    shared.max_request_bytes, " (server.max_request_bytes)"));
    }
    const auto read = [this](const std::vector<std::string>& names) {
      return Select(context_->client_metadata(), names);
    };
    grpc::Slice slice;
    if (!request.TrySingleSlice(&slice).ok()) request.DumpToSingleSlice(&slice);
    Dispatcher::Request call{.method = method,
                             .handle = std::nullopt,
                             .control = *control,
                             .bytes = {reinterpret_cast<const char*>(slice.begin()), slice.size()},
                             .metadata = read};
    const auto handle = context_->client_metadata().find("memo-session");
    if (handle != context_->client_metadata().end()) call.handle = ToStd(handle->second);
    return shared.dispatcher.Call(call, *this, place_);
  }

  // The client is gone or its deadline over.
  void OnCancel() override {
    if (flight_ == nullptr || !flight_->Leave(this)) return;
    place_ = {};
    Finish(grpc::Status::CANCELLED);
  }

  void OnDone() override { calls_->Leave(); }
  // Neither reaction waits for anything. Without this gRPC gives each to another thread, which
  // costs a hit a fifth more.
  bool InternalInlineable() override { return true; }

  CallsInFlight* calls_ = nullptr;
  grpc::CallbackServerContext* context_ = nullptr;
  mutable ByteBuffer bytes_;
  UnsentAnswer unsent_;
  std::shared_ptr<Flight> flight_;  // of a call that waits, or has waited
  Admission::Place place_;          // while it does
};

}  // namespace
}  // namespace memod

template <>
class grpc::SerializationTraits<memod::PendingCall> {
 public:
  static Status Serialize(const memod::PendingCall& call, ByteBuffer* message, bool* own) {
    message->Swap(&call.bytes());
    *own = true;
    return Status::OK;
  }
};

namespace memod {

CallService::CallService(Shared& shared, const std::vector<Served>& methods) {
  for (size_t i = 0; i < methods.size(); ++i) {
    const Method& method = *methods[i].method;
    Upstream* pass = methods[i].pass;
    AddMethod(new grpc::internal::RpcServiceMethod(method.memo.name.c_str(),
                                                   grpc::internal::RpcMethod::NORMAL_RPC, nullptr));
    MarkMethodRawCallback(
        static_cast<int>(i),
        new grpc::internal::CallbackUnaryHandler<ByteBuffer, PendingCall>(
            [&shared, &method, pass](grpc::CallbackServerContext* context,
                                     const ByteBuffer* request,
                                     PendingCall* call) -> grpc::ServerUnaryReactor* {
              if (!request->Valid()) return Refuse(*context, NoRequest());
              if (pass != nullptr && !context->client_metadata().contains("memo-session")) {
                auto place = AdmitPass(shared.admission, *context);
                if (!place.ok()) return Refuse(*context, ToGrpcStatus(place.status(), *context));
                return PassUnary(*pass, method.memo.name, shared.calls, *std::move(place), *context,
                                 *request, call->bytes());
              }
              return call->Start(shared, method, *context, *request);
            }));
  }
}

}  // namespace memod
