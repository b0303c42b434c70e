// One call of any kind of streaming, as a client that writes and reads as the test says.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "memod/tests/testing/call.h"

namespace memod {

// Not thread-safe. Every wait ends with the call's deadline at the latest.
class StreamCall {
 public:
  StreamCall(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
             const CallOptions& options = {});
  // Cancels what has not ended.
  ~StreamCall();
  StreamCall(const StreamCall&) = delete;
  StreamCall& operator=(const StreamCall&) = delete;

  // False: the call is over.
  bool Write(std::string_view message);
  // Whether the message is taken within `patience`; if not, it still will be.
  bool TryWrite(std::string_view message, std::chrono::milliseconds patience);
  void HalfClose();
  // nullopt: no more will come.
  std::optional<std::string> Read();
  std::vector<std::string> ReadAll();
  // Waits for what comes before the first message.
  void AwaitMetadata();
  void Cancel() { context_.TryCancel(); }
  // Waits for the end. What was not read is lost.
  Told Finish();

 private:
  enum Operation : intptr_t { kStart = 1, kMetadata, kWrite, kHalfClose, kRead, kFinish };
  static void* Tag(Operation operation) { return reinterpret_cast<void*>(operation); }
  // Whether it went well; nullopt: it has not ended within `patience`.
  std::optional<bool> Await(Operation operation, std::chrono::milliseconds patience);
  bool Await(Operation operation);

  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  std::map<Operation, bool> ended_;  // and nobody has waited for it yet
  bool writing_ = false;
  bool finished_ = false;
};

}  // namespace memod
