#include "memod/tests/testing/stream_call.h"

#include <utility>

namespace memod {
namespace {

// A wait that no deadline of a call ends any more has failed.
constexpr std::chrono::milliseconds kLongest = 2 * kPatience;

}  // namespace

StreamCall::StreamCall(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                       const CallOptions& options) {
  context_.set_deadline(std::chrono::system_clock::now() + options.deadline);
  for (const auto& [name, value] : options.metadata) context_.AddMetadata(name, value);
  grpc::GenericStub stub(channel);
  stream_ = stub.PrepareCall(&context_, method, &queue_);
  stream_->StartCall(Tag(kStart));
  Await(kStart);
}

StreamCall::~StreamCall() {
  Cancel();
  if (!finished_) Finish();
  queue_.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
  }
}

std::optional<bool> StreamCall::Await(Operation operation, std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::system_clock::now() + patience;
  while (!ended_.contains(operation)) {
    void* tag = nullptr;
    bool ok = false;
    if (queue_.AsyncNext(&tag, &ok, deadline) != grpc::CompletionQueue::GOT_EVENT) {
      return std::nullopt;
    }
    ended_[static_cast<Operation>(reinterpret_cast<intptr_t>(tag))] = ok;
  }
  return ended_.extract(operation).mapped();
}

bool StreamCall::Await(Operation operation) {
  const std::optional<bool> ok = Await(operation, kLongest);
  EXPECT_TRUE(ok.has_value()) << "operation " << operation << " of a call does not end";
  return ok.value_or(false);
}

bool StreamCall::Write(std::string_view message) {
  if (std::exchange(writing_, false)) Await(kWrite);
  stream_->Write(ToByteBuffer(message), Tag(kWrite));
  return Await(kWrite);
}

bool StreamCall::TryWrite(std::string_view message, std::chrono::milliseconds patience) {
  if (std::exchange(writing_, false)) Await(kWrite);
  stream_->Write(ToByteBuffer(message), Tag(kWrite));
  const std::optional<bool> ok = Await(kWrite, patience);
  writing_ = !ok.has_value();
  return ok.value_or(false);
}

void StreamCall::HalfClose() {
  if (std::exchange(writing_, false)) Await(kWrite);
  stream_->WritesDone(Tag(kHalfClose));
  Await(kHalfClose);
}

std::optional<std::string> StreamCall::Read() {
  grpc::ByteBuffer buffer;
  stream_->Read(&buffer, Tag(kRead));
  if (!Await(kRead)) return std::nullopt;
  return ToString(buffer);
}

std::vector<std::string> StreamCall::ReadAll() {
  std::vector<std::string> messages;
  while (auto message = Read()) messages.push_back(*std::move(message));
  return messages;
}

void StreamCall::AwaitMetadata() {
  stream_->ReadInitialMetadata(Tag(kMetadata));
  Await(kMetadata);
}

Told StreamCall::Finish() {
  Told told;
  stream_->Finish(&told.status, Tag(kFinish));
  Await(kFinish);
  finished_ = true;
  told.metadata = ToMetadata(context_.GetServerInitialMetadata());
  told.trailers = ToMetadata(context_.GetServerTrailingMetadata());
  return told;
}

}  // namespace memod
