// Many calls of a session on one stream, for who makes more of them than a unary call each can
// carry.
//
//   memod::Pipeline pipeline = session->Pipeline();
//   std::vector<std::future<absl::StatusOr<CalculateResponse>>> answers;
//   for (const CalculateRequest& request : requests) {
//     answers.push_back(pipeline.Call<CalculateResponse>(
//         "/memo.examples.v1.SlowAdder/Calculate", request));
//   }
//   for (auto& answer : answers) Use(answer.get());
#pragma once

#include <google/protobuf/message.h>
#include <grpcpp/support/status.h>

#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memo/v1/pipeline.pb.h"

namespace memod {

class PipelineCalls;

struct PipelineOptions {
  // Calls that are not answered yet. Another one waits: see Pipeline::Call.
  size_t max_outstanding = 1024;
  // Calls that gather while others are sent go together, up to this; a larger request goes alone.
  size_t max_message_bytes = 64 << 10;
};

// What a call is told.
struct PipelineAnswer {
  // As a unary call's, its details too.
  grpc::Status status;
  // An encoded message. Valid in the callback only.
  std::string_view response;
  memo::v1::CacheStatus cache = memo::v1::CACHE_STATUS_UNSPECIFIED;
  uint32_t age_seconds = 0;  // of what comes from memory
  std::string memo_error;    // of an error that is memod's own (session.proto)
  // That of the answer; of an error, its trailers.
  std::vector<std::pair<std::string, std::string>> metadata;
};

// That error, or OK. What is beside code and message are payloads: "memo-error" and
// "grpc-status-details-bin".
absl::Status ToStatus(const PipelineAnswer& answer);

// Comes from SessionHandle::Pipeline. It makes its stream when it is made, on the connection that all
// calls of the Client share, and does not make another: once the stream is lost, every call
// that was outstanding and every later one is told why, each once. It stays where the session was
// when it was made: once that has moved (SessionEvents::reopened), make another, and let go of this
// one, which keeps what was left.
//
// Destroying it takes what is outstanding with it, which is told CANCELLED; all has been told when
// that has returned. Destroyed within a callback of its own, the others are told after that; do not
// destroy it within another's, which is not to block.
//
// Thread-safe, but for moving and destroying. One that was moved from may only be assigned to or
// destroyed.
class [[nodiscard]] Pipeline {
 public:
  // Called once, under no lock; on one of gRPC's threads, which reads no further answers meanwhile,
  // or, where the stream is lost already, within Call. It may make calls, but not block.
  using Callback = absl::AnyInvocable<void(const PipelineAnswer& answer)>;

  Pipeline(Pipeline&&) noexcept;
  Pipeline& operator=(Pipeline&&) noexcept;
  ~Pipeline();

  // Calls a memoized method ("/package.Service/Method") with an encoded message; returns the call's
  // id. Blocks while max_outstanding calls are, unless made within a callback of any Pipeline or
  // of SessionEvents.
  uint64_t Call(std::string_view method, std::string_view request, Callback done,
                memo::v1::Control control = memo::v1::CONTROL_UNSPECIFIED);

  template <typename Response>
  std::future<absl::StatusOr<Response>> Call(
      std::string_view method, const google::protobuf::Message& request,
      memo::v1::Control control = memo::v1::CONTROL_UNSPECIFIED);

  // Nobody waits for this call any more: it is told CANCELLED, unless its answer is on its way.
  void Cancel(uint64_t id);

  // OK until the stream is lost; then why.
  absl::Status status() const;

 private:
  friend class SessionHandle;
  explicit Pipeline(std::shared_ptr<PipelineCalls> calls);

  std::shared_ptr<PipelineCalls> calls_;  // null: moved from
};

template <typename Response>
std::future<absl::StatusOr<Response>> Pipeline::Call(std::string_view method,
                                                     const google::protobuf::Message& request,
                                                     memo::v1::Control control) {
  std::promise<absl::StatusOr<Response>> promise;
  std::future<absl::StatusOr<Response>> future = promise.get_future();
  Call(
      method, request.SerializeAsString(),
      [promise = std::move(promise)](const PipelineAnswer& answer) mutable {
        if (!answer.status.ok()) return promise.set_value(ToStatus(answer));
        Response response;
        const auto size = static_cast<int>(answer.response.size());
        if (!response.ParseFromArray(answer.response.data(), size)) {
          return promise.set_value(absl::InternalError("the answer does not decode"));
        }
        promise.set_value(std::move(response));
      },
      control);
  return future;
}

}  // namespace memod
