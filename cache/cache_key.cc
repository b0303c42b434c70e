#include "memod/cache/cache_key.h"

#include <sys/random.h>

#define XXH_INLINE_ALL  // a call costs as much as hashing a short key
#include <xxhash.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace memod {

std::string RandomBytes(size_t n) {
  std::string bytes(n, '\0');
  for (size_t done = 0; done < n;) {
    const ssize_t got = getrandom(bytes.data() + done, n - done, 0);
    if (got > 0) {
      done += static_cast<size_t>(got);
    } else if (errno != EINTR) {
      std::perror("getrandom");  // without it handles could be guessed: no way to go on
      std::abort();
    }
  }
  return bytes;
}

uint64_t SecretHash(std::string_view bytes, uint32_t salt) {
  static const std::string& secret = *new std::string(RandomBytes(XXH3_SECRET_SIZE_MIN + 8));
  uint64_t hash = XXH3_64bits_withSecret(bytes.data(), bytes.size(), secret.data(), secret.size());
  // Any mixing will do: a collision costs a comparison, never a wrong answer.
  hash ^= (salt + uint64_t{1}) * 0x9e3779b97f4a7c15u;
  hash ^= hash >> 29;
#ifdef MEMOD_TEST_HASH_BITS
  hash &= (uint64_t{1} << MEMOD_TEST_HASH_BITS) - 1;
#endif
  return hash;
}

CacheKey::CacheKey(uint32_t method, std::string_view bytes)
    : method_(method), hash_(static_cast<uint32_t>(SecretHash(bytes, method))), bytes_(bytes) {}

}  // namespace memod
