// The messages of memo/v1/pipeline.proto, read and written without the generated classes: nothing is
// allocated for a call, nothing is copied to read one, and what is written is copied once or, where
// it is large, not at all.
//
// It reads what the generated classes read and refuses what they refuse, and they read what it
// writes. Not thread-safe. Views are into the bytes that are read.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"

namespace memod::pipeline {

struct MethodNumber {
  uint32_t number = 0;
  std::string_view name;
};

struct Call {
  uint64_t id = 0;
  uint32_t method = 0;
  int32_t control = 0;  // a memo.v1.Control, or one that is not known yet
  std::string_view request;
};

struct Error {
  int32_t code = 0;
  std::string_view message, details, memo_error;  // all but `details` UTF-8
};

using Metadata = std::vector<std::pair<std::string, std::string>>;

struct Answer {
  uint64_t id = 0;
  int32_t cache = 0;  // a memo.v1.CacheStatus, or one that is not known yet
  uint32_t age_seconds = 0;
  bool failed = false;
  Error error{};  // if it did
  std::string_view response{};
  bool has_metadata = false;   // as read; see MetadataOf
  std::string_view encoded{};  // as read: all of it
};

// The metadata of an answer that was read.
Metadata MetadataOf(const Answer& answer);

// The bytes of a message that was received, in one piece. They live as long as `slice`, which is
// theirs from now on.
std::string_view InOnePiece(const grpc::ByteBuffer& message, grpc::Slice& slice);

enum class Next { kOne, kEnd, kMalformed };

// A CallRequest: first what is not calls, then a call at a time. The bytes outlive it.
class RequestReader {
 public:
  explicit RequestReader(std::string_view message = {}) : rest_(message) {}

  // False: the message does not decode.
  bool ReadHead(absl::FunctionRef<void(const MethodNumber&)> on_method,
                absl::FunctionRef<void(uint64_t id)> on_cancelled) const;
  Next Read(Call& call);

 private:
  std::string_view rest_;
};

// A CallResponse, an answer at a time. The bytes outlive it.
class ResponseReader {
 public:
  explicit ResponseReader(std::string_view message) : rest_(message) {}
  Next Read(Answer& answer);

 private:
  std::string_view rest_;
};

// One CallRequest or CallResponse after another.
class MessageWriter {
 public:
  void Add(const MethodNumber& method);
  void Add(const Call& call);
  void AddCancelled(uint64_t id);
  void Add(const Answer& answer, const Metadata& metadata = {});
  // An answer with nothing else to it.
  void AddPlain(uint64_t id, int32_t cache, uint32_t age_seconds, std::string_view response);
  // With a response that is sent as it is: `answer.response` is in it.
  void Add(const Answer& answer, const Metadata& metadata, const grpc::Slice& response);

  // Of the message so far.
  size_t size() const { return closed_size_ + (used_ - begin_); }
  bool empty() const { return size() == 0; }
  // Takes over all of `other`, a message of the same type.
  void Splice(MessageWriter& other);
  // The message, and begins the next.
  grpc::ByteBuffer Take();

 private:
  // Room for `size` bytes to be written at once; `Wrote` says where they end.
  char* Room(size_t size);
  void Wrote(const char* end) { used_ = static_cast<size_t>(end - Bytes()); }
  char* Bytes() { return const_cast<char*>(reinterpret_cast<const char*>(chunk_.begin())); }
  // What was written up to here becomes a slice of the message.
  void Close();

  // Of it, what is before `begin_` was sent, or is about to be.
  grpc::Slice chunk_;
  size_t begin_ = 0, used_ = 0;
  std::vector<grpc::Slice> closed_;
  size_t closed_size_ = 0;
};

}  // namespace memod::pipeline
