// One call of a client on a memoized method, and what it was told.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/byte_buffer.h>

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "memod/tests/testing/soon.h"

namespace memod {

inline constexpr char kCompute[] = "/memo.testing.v1.Probe/Compute";
inline constexpr char kOther[] = "/memo.testing.v1.Probe/Other";
inline constexpr char kProperty[] = "/memo.testing.v1.Probe/Property";
inline constexpr char kShared[] = "/memo.testing.v1.Probe/Shared";
inline constexpr char kStatic[] = "/memo.testing.v1.Probe/Static";
inline constexpr char kTwin[] = "/memo.testing.v1.Twin/Compute";

struct CallOptions {
  std::string method = kCompute;
  std::string control = "";  // memo-control; empty: not sent
  std::chrono::milliseconds deadline = kPatience;
  std::optional<grpc_compression_algorithm> compression = std::nullopt;
  std::multimap<std::string, std::string> metadata = {};
};

// What a client was told.
struct Told {
  grpc::Status status;
  std::string bytes;  // of the answer
  std::multimap<std::string, std::string> metadata;
  std::multimap<std::string, std::string> trailers;

  // The value of an entry of the metadata or the trailers; "" if there is none.
  std::string Metadata(const std::string& name) const;
  std::string Trailer(const std::string& name) const;

  // An answer: how it came and what Probe answered, as in "hit a:x". An error of memod's own:
  // "NOT_FOUND SESSION_NOT_FOUND". Another one: "OUT_OF_RANGE: what the method said".
  std::string Words() const;
};

// Ends, by force if need be, when destroyed.
class Call {
 public:
  // nullopt: without a handle.
  Call(const std::shared_ptr<grpc::Channel>& channel, const std::optional<std::string>& handle,
       std::string_view request, const CallOptions& options = {});
  ~Call();
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  // As a client that goes away.
  void Cancel() { context_.TryCancel(); }
  bool done() const;
  // Blocks until the call has ended.
  const Told& Wait();
  std::string Words() { return Wait().Words(); }

 private:
  void OnDone(grpc::Status status);

  grpc::ClientContext context_;
  const std::string method_;
  const grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
  Told told_;
};

// The bytes of a ProbeRequest.
std::string Request(const std::string& key);

std::multimap<std::string, std::string> ToMetadata(
    const std::multimap<grpc::string_ref, grpc::string_ref>& received);

grpc::ByteBuffer ToByteBuffer(std::string_view bytes);
std::string ToString(const grpc::ByteBuffer& buffer);

}  // namespace memod
