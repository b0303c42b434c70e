#include "memod/tests/testing/call.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/slice.h>

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "testing/probe.pb.h"

namespace memod {
namespace {

using Metadata = std::multimap<std::string, std::string>;

std::string Value(const Metadata& metadata, const std::string& name) {
  const auto it = metadata.find(name);
  return it == metadata.end() ? "" : it->second;
}

}  // namespace

std::string Told::Metadata(const std::string& name) const { return Value(metadata, name); }
std::string Told::Trailer(const std::string& name) const { return Value(trailers, name); }

std::string Told::Words() const {
  if (status.ok()) {
    memo::testing::v1::ProbeResponse response;
    const bool valid = response.ParseFromString(bytes);
    return Metadata("memo-cache") + " " + (valid ? response.value() : "an invalid answer");
  }
  const std::string code =
      absl::StatusCodeToString(static_cast<absl::StatusCode>(status.error_code()));
  const std::string memo_error = Trailer("memo-error");
  return memo_error.empty() ? code + ": " + status.error_message() : code + " " + memo_error;
}

Call::Call(const std::shared_ptr<grpc::Channel>& channel, const std::optional<std::string>& handle,
           std::string_view request, const CallOptions& options)
    : method_(options.method), request_(ToByteBuffer(request)) {
  context_.set_deadline(std::chrono::system_clock::now() + options.deadline);
  if (handle) context_.AddMetadata("memo-session", *handle);
  if (!options.control.empty()) context_.AddMetadata("memo-control", options.control);
  if (options.compression) context_.set_compression_algorithm(*options.compression);
  for (const auto& [name, value] : options.metadata) context_.AddMetadata(name, value);
  grpc::GenericStub(channel).UnaryCall(&context_, method_, grpc::StubOptions(), &request_,
                                       &response_,
                                       [this](grpc::Status status) { OnDone(std::move(status)); });
}

Call::~Call() {
  Cancel();
  Wait();
}

void Call::OnDone(grpc::Status status) {
  const std::lock_guard lock(mutex_);
  told_.status = std::move(status);
  if (told_.status.ok()) told_.bytes = ToString(response_);
  told_.metadata = ToMetadata(context_.GetServerInitialMetadata());
  told_.trailers = ToMetadata(context_.GetServerTrailingMetadata());
  done_ = true;
  changed_.notify_all();
}

bool Call::done() const {
  const std::lock_guard lock(mutex_);
  return done_;
}

const Told& Call::Wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return done_; });
  return told_;
}

std::string Request(const std::string& key) {
  memo::testing::v1::ProbeRequest request;
  request.set_key(key);
  return request.SerializeAsString();
}

std::multimap<std::string, std::string> ToMetadata(
    const std::multimap<grpc::string_ref, grpc::string_ref>& received) {
  std::multimap<std::string, std::string> metadata;
  for (const auto& [name, value] : received) {
    metadata.emplace(std::string(name.data(), name.size()),
                     std::string(value.data(), value.size()));
  }
  return metadata;
}

grpc::ByteBuffer ToByteBuffer(std::string_view bytes) {
  const grpc::Slice slice(bytes.data(), bytes.size());
  return grpc::ByteBuffer(&slice, 1);
}

std::string ToString(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  buffer.Dump(&slices);
  std::string bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

}  // namespace memod
