// One answer, made once and shared by the cache and every caller that gets it: a message's bytes
// and the metadata kept with them, or an error that is remembered.
//
// Immutable once `Make`'s writer has returned, so it is safe to read from any thread. The header
// and the bytes are one allocation of their own size.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "memod/cache/metadata.h"

namespace memod {

class Answer {
 public:
  // Owns one reference.
  class Ref {
   public:
    Ref() = default;
    Ref(const Ref& o) : answer_(o.answer_) {
      if (answer_ != nullptr) answer_->references_.fetch_add(1, std::memory_order_relaxed);
    }
    Ref(Ref&& o) noexcept : answer_(std::exchange(o.answer_, nullptr)) {}
    Ref& operator=(Ref o) noexcept {
      std::swap(answer_, o.answer_);
      return *this;
    }
    ~Ref() {
      if (answer_ != nullptr) answer_->Unref();
    }

    explicit operator bool() const { return answer_ != nullptr; }
    const Answer* operator->() const { return answer_; }
    const Answer& operator*() const { return *answer_; }

    // For handing the reference through a C interface: what Release returns, Adopt takes back.
    const Answer* Release() { return std::exchange(answer_, nullptr); }
    static Ref Adopt(const Answer* answer) { return Ref(answer); }

   private:
    friend class Answer;
    explicit Ref(const Answer* answer) : answer_(answer) {}
    const Answer* answer_ = nullptr;
  };

  // A message of `size` bytes, at most 4 GiB; `write(char*)` fills all of them.
  template <typename Writer>
  static Ref Make(size_t size, Writer&& write, const Metadata& metadata = {}) {
    const std::string extra = metadata.empty() ? std::string() : Encode(metadata);
    Answer* answer = Allocate(absl::StatusCode::kOk, size, extra);
    Ref ref(answer);
    write(answer->data());
    return ref;
  }
  static Ref Copy(std::string_view bytes, const Metadata& metadata = {});
  // An error to remember, not OK: code, message and payloads.
  static Ref OfError(const absl::Status& error);

  // The message; empty if this is an error.
  std::string_view bytes() const { return {reinterpret_cast<const char*>(this + 1), size_}; }
  // Made anew for each caller: the thread sanitizer cannot see into absl::Status's reference
  // counts, so none is shared.
  absl::Status status() const { return is_error_ ? DecodeError() : absl::OkStatus(); }
  absl::StatusCode code() const;
  // In the order in which it was given.
  Metadata metadata() const { return extra_size_ == 0 || is_error_ ? Metadata() : Decode(); }

  // Bytes of the message, and of all that is kept with it.
  size_t size() const { return size_ + extra_size_; }
  // What it takes in memory, header included.
  int64_t charge() const { return static_cast<int64_t>(sizeof(Answer) + size()); }

 private:
  Answer(bool is_error, uint32_t size, uint32_t extra_size)
      : is_error_(is_error), extra_size_(extra_size), size_(size) {}
  static Answer* Allocate(absl::StatusCode code, size_t size, const std::string& extra);
  static std::string Encode(const Metadata& metadata);
  Metadata Decode() const;
  absl::Status DecodeError() const;
  void Unref() const;
  char* data() { return reinterpret_cast<char*>(this + 1); }
  std::string_view extra() const { return {bytes().data() + size_, extra_size_}; }

  mutable std::atomic<uint32_t> references_{1};
  const bool is_error_;
  const uint32_t extra_size_;  // behind the message: metadata, or the error
  const uint32_t size_;
};

}  // namespace memod
