// For what every call writes: a T for each of sixteen threads, which more threads share, so that they
// seldom write the same cache line.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>

namespace memod {

// As thread-safe as T.
template <typename T>
class Stripes {
 public:
  static_assert(alignof(T) >= 64, "a stripe has a cache line of its own");

  // This thread's; the same at each call.
  T& Mine() {
    static std::atomic<size_t> threads{0};
    thread_local const size_t mine = threads.fetch_add(1);
    return stripes_[mine % stripes_.size()];
  }

  auto begin() { return stripes_.begin(); }
  auto end() { return stripes_.end(); }
  auto begin() const { return stripes_.begin(); }
  auto end() const { return stripes_.end(); }

 private:
  std::array<T, 16> stripes_;
};

}  // namespace memod
