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

// Deletes itself when it is done.
template <typename Request, typename Response>
class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  // `unsent` and what is gRPC's, as the handler got it, outlive this.
  UnaryCall(UnsentAnswers& unsent, grpc::CallbackServerContext& context, grpc::ByteBuffer& bytes)
      : unsent_(unsent), context_(context), bytes_(bytes) {}

  // Once. With the response as it is by then, unless it is an error.
  void Answer(const absl::Status& status) {
    if (status.ok()) {
      Encode(response, bytes_);
      unsent_.Add(answer_, context_, bytes_.Length());
    }
    Finish(ToGrpcStatus(status, context_));
  }

  Request request;
  Response response;

 private:
  void OnDone() override { delete this; }
  // It waits for nothing, so it needs no thread of its own.
  bool InternalInlineable() override { return true; }

  UnsentAnswers& unsent_;
  grpc::CallbackServerContext& context_;
  grpc::ByteBuffer& bytes_;
  UnsentAnswer answer_;
};

}  // namespace memod
