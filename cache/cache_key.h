// Exactly what an answer depends on: the method, and bytes that stand for the rest: those of the
// request, or where metadata or a message is part of the key, what is made of them.
//
// Keys are compared in full, never by hash alone. The hash is keyed with a secret drawn when the
// process starts, so that nobody outside can choose keys that collide.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace memod {

// A view: it owns no bytes. Made once per call; whoever keeps it keeps the bytes too.
class CacheKey {
 public:
  // `method` is the id of a MemoizedMethod: unique in the process, below 2^16.
  CacheKey(uint32_t method, std::string_view bytes);

  uint32_t method() const { return method_; }
  std::string_view bytes() const { return bytes_; }
  uint32_t hash() const { return hash_; }

  // A key whose hash is known from having been made before.
  CacheKey(uint32_t method, std::string_view bytes, uint32_t hash)
      : method_(method), hash_(hash), bytes_(bytes) {}

  friend bool operator==(const CacheKey& a, const CacheKey& b) {
    return a.hash_ == b.hash_ && a.method_ == b.method_ && a.bytes_ == b.bytes_;
  }

  struct Hash {
    size_t operator()(const CacheKey& key) const { return Spread(key.hash_); }
  };
  // For an Abseil table, which wants its hash in all 64 bits.
  static size_t Spread(uint32_t hash) { return hash * uint64_t{0x9e3779b97f4a7c15}; }

 private:
  uint32_t method_;
  uint32_t hash_;
  std::string_view bytes_;
};

// Hash of any bytes under the same secret.
uint64_t SecretHash(std::string_view bytes, uint32_t salt = 0);

// `n` bytes from the system's cryptographic generator.
std::string RandomBytes(size_t n);

}  // namespace memod
