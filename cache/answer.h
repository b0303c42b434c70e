// One answer to one key, made once and shared by the cache and every caller that gets it: a
// message's bytes and the metadata kept with them, or an error that is remembered. It is also the
// entry of the cache that remembers it, so that all of an entry is one block of memory.
//
// What a caller sees of it is immutable once `Make`'s writer has returned, so it is safe to read
// from any thread. Its place in a cache is that LruCache's alone.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "memod/cache/cache_key.h"
#include "memod/cache/metadata.h"
#include "memod/cache/time.h"

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
  static Ref Make(const CacheKey& key, size_t size, Writer&& write, const Metadata& metadata = {}) {
    const std::string extra = metadata.empty() ? std::string() : EncodeMetadata(metadata);
    Answer* answer = Allocate(key, absl::StatusCode::kOk, size, extra);
    Ref ref(answer);
    write(answer->payload());
    return ref;
  }
  static Ref Copy(const CacheKey& key, std::string_view bytes, const Metadata& metadata = {});
  // An error to remember, not OK: code, message and payloads.
  static Ref OfError(const CacheKey& key, const absl::Status& error);

  // A view of its own bytes.
  CacheKey key() const { return CacheKey(method_, {key_bytes(), key_size_}, hash_); }
  uint32_t method() const { return method_; }

  // The message; empty if this is an error.
  std::string_view bytes() const {
    return {payload(), code_ != 0 ? 0 : has_metadata_ ? size_ - metadata_size() : size_};
  }
  absl::StatusCode code() const { return static_cast<absl::StatusCode>(code_); }
  // Made anew for each caller: the thread sanitizer cannot see into absl::Status's reference
  // counts, so none is shared.
  absl::Status status() const { return code_ == 0 ? absl::OkStatus() : DecodeError(); }
  // In the order in which it was given.
  Metadata metadata() const { return has_metadata_ ? DecodeMetadata() : Metadata(); }

  bool has_metadata() const { return has_metadata_; }

  // Bytes of the message, and of all that is kept with it.
  size_t size() const { return size_; }
  // What a cache pays for it: key, value, and what an entry costs, the index's and the allocator's
  // parts included.
  int64_t charge() const;

  // Of one that a cache remembers.
  Time computed_at() const { return computed_at_; }
  float compute_seconds() const { return compute_seconds_; }

 private:
  friend class LruCache;

  Answer(const CacheKey& key, absl::StatusCode code, size_t size, bool has_metadata);
  // With a payload of `size` bytes, and then `metadata`.
  static Answer* Allocate(const CacheKey& key, absl::StatusCode code, size_t size,
                          std::string_view metadata = {});
  static std::string EncodeMetadata(const Metadata& metadata);
  Metadata DecodeMetadata() const;
  absl::Status DecodeError() const;
  // Acquire-release: the last one out must see every other holder done with the bytes.
  void Unref() const {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) Free();
  }
  void Free() const;

  // Behind the header: the key, then what it is answered with. An error is its payload, a message
  // may be followed by metadata.
  const char* key_bytes() const { return reinterpret_cast<const char*>(this + 1); }
  const char* payload() const { return key_bytes() + key_size_; }
  char* payload() { return reinterpret_cast<char*>(this + 1) + key_size_; }
  size_t metadata_size() const;

  mutable std::atomic<uint32_t> references_{1};
  const uint16_t method_;
  const uint8_t code_ : 7;
  const uint8_t has_metadata_ : 1;
  uint8_t advance_ = 0;  // references that the cache has and may give away
  const uint32_t hash_;
  const uint32_t key_size_;
  const uint32_t size_;  // of the payload

  // What an LruCache keeps here, advance_ too: set when it is stored, and guarded as the cache is.
  float compute_seconds_ = 0;
  Time computed_at_;
  Time last_used_;
  Answer* older_ = nullptr;
  Answer* newer_ = nullptr;
};

}  // namespace memod
