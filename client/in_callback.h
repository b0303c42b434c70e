// Whether this thread runs a callback of the library's user. Internal to the library.
#pragma once

namespace memod {

// Marks one, as long as it lives. gRPC has few threads for callbacks, so that none is to wait for what
// another one brings.
class InCallback {
 public:
  InCallback() { ++depth_; }
  ~InCallback() { --depth_; }
  InCallback(const InCallback&) = delete;
  InCallback& operator=(const InCallback&) = delete;

  static bool Here() { return depth_ > 0; }

 private:
  static inline thread_local int depth_ = 0;
};

}  // namespace memod
