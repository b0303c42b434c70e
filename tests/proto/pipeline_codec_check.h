// What the pipeline's codec makes of bytes, beside what the generated classes make of them.
#pragma once

#include <optional>
#include <string>

#include "memo/pipeline_codec.h"
#include "memo/v1/pipeline.pb.h"

namespace memod::pipeline {

// Read by the codec; nullopt: refused.
inline std::optional<memo::v1::CallRequest> ReadRequest(std::string_view bytes) {
  memo::v1::CallRequest message;
  RequestReader reader(bytes);
  const bool valid = reader.ReadHead(
      [&](const MethodNumber& method) {
        auto* added = message.add_methods();
        added->set_number(method.number);
        added->set_name(std::string(method.name));
      },
      [&](uint64_t id) { message.add_cancelled(id); });
  if (!valid) return std::nullopt;
  Call call;
  Next next;
  while ((next = reader.Read(call)) == Next::kOne) {
    auto* added = message.add_calls();
    added->set_id(call.id);
    added->set_method(call.method);
    added->set_request(std::string(call.request));
    added->set_control(static_cast<memo::v1::Control>(call.control));
  }
  if (next == Next::kMalformed) return std::nullopt;
  return message;
}

inline std::optional<memo::v1::CallResponse> ReadResponse(std::string_view bytes) {
  memo::v1::CallResponse message;
  ResponseReader reader(bytes);
  Answer answer;
  Next next;
  while ((next = reader.Read(answer)) == Next::kOne) {
    auto* added = message.add_answers();
    added->set_id(answer.id);
    added->set_response(std::string(answer.response));
    added->set_cache(static_cast<memo::v1::CacheStatus>(answer.cache));
    added->set_age_seconds(answer.age_seconds);
    if (answer.failed) {
      added->mutable_error()->set_code(answer.error.code);
      added->mutable_error()->set_message(std::string(answer.error.message));
      added->mutable_error()->set_details(std::string(answer.error.details));
      added->mutable_error()->set_memo_error(std::string(answer.error.memo_error));
    }
    const Metadata metadata = MetadataOf(answer);
    if (metadata.empty() == answer.has_metadata) return std::nullopt;
    for (const auto& [name, value] : metadata) {
      auto* entry = added->add_metadata();
      entry->set_name(name);
      entry->set_value(value);
    }
  }
  if (next == Next::kMalformed) return std::nullopt;
  return message;
}

// Written by the codec. `in_slices`: responses go in as slices of their own.
inline grpc::ByteBuffer Write(const memo::v1::CallRequest& message) {
  MessageWriter writer;
  for (const auto& m : message.methods()) {
    writer.Add(MethodNumber{.number = m.number(), .name = m.name()});
  }
  for (const auto& c : message.calls()) {
    writer.Add(
        Call{.id = c.id(), .method = c.method(), .control = c.control(), .request = c.request()});
  }
  for (const uint64_t id : message.cancelled()) writer.AddCancelled(id);
  return writer.Take();
}

inline grpc::ByteBuffer Write(const memo::v1::CallResponse& message, bool in_slices) {
  MessageWriter writer;
  for (const auto& a : message.answers()) {
    Metadata metadata;
    for (const auto& entry : a.metadata()) metadata.emplace_back(entry.name(), entry.value());
    Answer answer{.id = a.id(), .cache = a.cache(), .age_seconds = a.age_seconds()};
    answer.response = a.response();
    answer.failed = a.has_error();
    answer.error = {.code = a.error().code(),
                    .message = a.error().message(),
                    .details = a.error().details(),
                    .memo_error = a.error().memo_error()};
    if (in_slices) {
      const grpc::Slice slice(a.response());
      answer.response = {reinterpret_cast<const char*>(slice.begin()), slice.size()};
      writer.Add(answer, metadata, slice);
    } else if (metadata.empty() && !answer.failed) {
      writer.AddPlain(answer.id, answer.cache, answer.age_seconds, answer.response);
    } else {
      writer.Add(answer, metadata);
    }
  }
  return writer.Take();
}

inline std::string Bytes(const grpc::ByteBuffer& message) {
  grpc::Slice slice;
  return std::string(InOnePiece(message, slice));
}

// What the two make different of the same bytes, which may be any; empty: nothing.
inline std::string Difference(const std::string& bytes) {
  memo::v1::CallRequest request;
  const bool is_request = request.ParseFromString(bytes);
  const auto read = ReadRequest(bytes);
  if (read.has_value() != is_request) return is_request ? "refuses a request" : "takes no request";
  if (is_request) {
    request.DiscardUnknownFields();
    const std::string want = request.SerializeAsString();
    if (read->SerializeAsString() != want) return "reads another request";
    memo::v1::CallRequest again;
    if (!again.ParseFromString(Bytes(Write(request)))) return "writes no request";
    if (again.SerializeAsString() != want) return "writes another request";
  }
  memo::v1::CallResponse response;
  const bool is_response = response.ParseFromString(bytes);
  const auto answers = ReadResponse(bytes);
  if (answers.has_value() != is_response) {
    return is_response ? "refuses a response" : "takes no response";
  }
  if (!is_response) return "";
  response.DiscardUnknownFields();
  const std::string want = response.SerializeAsString();
  if (answers->SerializeAsString() != want) return "reads another response";
  for (const bool in_slices : {false, true}) {
    memo::v1::CallResponse again;
    if (!again.ParseFromString(Bytes(Write(response, in_slices)))) return "writes no response";
    if (again.SerializeAsString() != want) return "writes another response";
  }
  return "";
}

}  // namespace memod::pipeline
