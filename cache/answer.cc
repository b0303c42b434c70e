#include "memod/cache/answer.h"

#include <cstring>
#include <new>

namespace memod {

Answer* Answer::Allocate(size_t size) {
  return new (::operator new(sizeof(Answer) + size)) Answer(size);
}

Answer::Ref Answer::Copy(std::string_view bytes) {
  return Make(bytes.size(), [&](char* to) { std::memcpy(to, bytes.data(), bytes.size()); });
}

void Answer::Unref() const {
  // Acquire-release: the last one out must see every other holder done with the bytes.
  if (references_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  this->~Answer();
  ::operator delete(const_cast<Answer*>(this));
}

}  // namespace memod
