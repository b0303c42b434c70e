// Unary calls of memod's own services. Their messages are decoded and encoded here: gRPC would answer
// a request that does not decode with UNIMPLEMENTED and no word.
#pragma once

#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "memod/cache/memo_error.h"
#include "memod/server/grpc_status.h"
#include "memod/server/unsent_answers.h"

namespace memod {

// Takes the bytes, which gRPC would keep until the call is done, a session's all its life.
// INVALID_ARGUMENT: they do not decode (BAD_REQUEST). INTERNAL: the call ended without a message.
template <typename Message>
absl::Status Decode(const grpc::ByteBuffer& bytes, Message& message) {
  if (!bytes.Valid()) return absl::InternalError(NoRequest().error_message());
  auto& taken = const_cast<grpc::ByteBuffer&>(bytes);
  if (grpc::SerializationTraits<Message>::Deserialize(&taken, &message).ok()) {
    return absl::OkStatus();
  }
  return BadRequest(
      absl::StrCat("the request is not a valid ", std::string(Message::descriptor()->full_name())));
}

template <typename Message>
void Encode(const Message& message, grpc::ByteBuffer& bytes) {
  bool own = true;
  grpc::SerializationTraits<Message>::Serialize(message, &bytes, &own);
}

// To gRPC it is the method's response, a message: made within the memory of the call itself, and
// dropped once the call is done. (Among what sessions leave on the heap it would leave holes.)
template <typename Request, typename Response>
class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  // Before anything else. Both outlive this.
  void Begin(UnsentAnswers& unsent, grpc::CallbackServerContext& context) {
    unsent_ = &unsent;
    context_ = &context;
  }
  grpc::CallbackServerContext& context() const { return *context_; }

  // Once. With the response as it is by then, unless it is an error.
  void Answer(const absl::Status& status) {
    if (status.ok()) {
      Encode(response, bytes_);
      unsent_->Add(answer_, *context_, bytes_.Length());
    }
    Finish(ToGrpcStatus(status, *context_));
  }

  Request request;
  Response response;

  // The response's, once it is answered. gRPC takes them out to send them.
  grpc::ByteBuffer& bytes() const { return bytes_; }

 private:
  void OnDone() override {}
  // It waits for nothing, so it needs no thread of its own.
  bool InternalInlineable() override { return true; }

  UnsentAnswers* unsent_ = nullptr;
  grpc::CallbackServerContext* context_ = nullptr;
  mutable grpc::ByteBuffer bytes_;
  UnsentAnswer answer_;
};

}  // namespace memod

template <typename Request, typename Response>
class grpc::SerializationTraits<memod::UnaryCall<Request, Response>> {
 public:
  static Status Serialize(const memod::UnaryCall<Request, Response>& call, ByteBuffer* message,
                          bool* own) {
    message->Swap(&call.bytes());
    *own = true;
    return Status::OK;
  }
};
