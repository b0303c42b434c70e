// The bytes of one answer, made once and shared by the cache and every caller that gets them.
//
// Immutable once `Make`'s writer has returned, so it is safe to read from any thread. The header
// and the bytes are one allocation of their own size.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

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

  // An answer of `size` bytes; `write(char*)` fills all of them.
  template <typename Writer>
  static Ref Make(size_t size, Writer&& write) {
    Answer* answer = Allocate(size);
    Ref ref(answer);
    write(answer->data());
    return ref;
  }
  static Ref Copy(std::string_view bytes);

  std::string_view bytes() const { return {reinterpret_cast<const char*>(this + 1), size_}; }
  // What it takes in memory, header included.
  int64_t charge() const { return static_cast<int64_t>(sizeof(Answer) + size_); }

 private:
  explicit Answer(size_t size) : size_(size) {}
  static Answer* Allocate(size_t size);
  void Unref() const;
  char* data() { return reinterpret_cast<char*>(this + 1); }

  mutable std::atomic<uint32_t> references_{1};
  const size_t size_;
};

}  // namespace memod
