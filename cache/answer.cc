#include "memod/cache/answer.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "absl/strings/cord.h"

namespace memod {
namespace {

// What an entry costs in the index: a pointer and a control byte in a flat_hash_set, whose load is
// between 7/16 and 7/8.
constexpr int64_t kIndexCharge = 15;

// glibc's malloc puts 8 bytes before a block, and makes the whole a multiple of 16, at least 32.
constexpr int64_t AllocationCharge(int64_t size) {
  return std::max<int64_t>(32, (size + 8 + 15) / 16 * 16);
}

using MetadataSize = uint32_t;

}  // namespace

Answer::Answer(const CacheKey& key, absl::StatusCode code, size_t size, bool has_metadata)
    : method_(static_cast<uint16_t>(key.method())),
      code_(static_cast<uint8_t>(code)),
      has_metadata_(has_metadata),
      hash_(key.hash()),
      key_size_(static_cast<uint32_t>(key.bytes().size())),
      size_(static_cast<uint32_t>(size)) {
  key.bytes().copy(reinterpret_cast<char*>(this + 1), key_size_);
}

Answer* Answer::Allocate(const CacheKey& key, absl::StatusCode code, size_t size,
                         std::string_view metadata) {
  void* memory = ::operator new(sizeof(Answer) + key.bytes().size() + size + metadata.size());
  Answer* answer = new (memory) Answer(key, code, size + metadata.size(), !metadata.empty());
  metadata.copy(answer->payload() + size, metadata.size());
  return answer;
}

Answer::Ref Answer::Copy(const CacheKey& key, std::string_view bytes, const Metadata& metadata) {
  return Make(
      key, bytes.size(), [&](char* to) { bytes.copy(to, bytes.size()); }, metadata);
}

Answer::Ref Answer::OfError(const CacheKey& key, const absl::Status& error) {
  std::string payload;
  AppendField({error.message().data(), error.message().size()}, payload);
  error.ForEachPayload([&](absl::string_view type, const absl::Cord& value) {
    AppendField({type.data(), type.size()}, payload);
    AppendField(std::string(value), payload);
  });
  Answer* answer = Allocate(key, error.code(), payload.size());
  std::memcpy(answer->payload(), payload.data(), payload.size());
  return Ref(answer);
}

absl::Status Answer::DecodeError() const {
  std::string_view rest(payload(), size_);
  const std::string_view message = TakeField(rest);
  absl::Status status(code(), {message.data(), message.size()});
  while (!rest.empty()) {
    const std::string_view type = TakeField(rest);
    const std::string_view value = TakeField(rest);
    status.SetPayload({type.data(), type.size()}, absl::Cord({value.data(), value.size()}));
  }
  return status;
}

// Its own size comes last, to be found from behind.
std::string Answer::EncodeMetadata(const Metadata& metadata) {
  std::string extra;
  for (const auto& [name, value] : metadata) {
    AppendField(name, extra);
    AppendField(value, extra);
  }
  const auto size = static_cast<MetadataSize>(extra.size() + sizeof(MetadataSize));
  return extra.append(reinterpret_cast<const char*>(&size), sizeof(size));
}

size_t Answer::metadata_size() const {
  MetadataSize size;
  std::memcpy(&size, payload() + size_ - sizeof(size), sizeof(size));
  return size;
}

Metadata Answer::DecodeMetadata() const {
  const std::string_view message = bytes();
  std::string_view rest(message.data() + message.size(), metadata_size() - sizeof(MetadataSize));
  Metadata metadata;
  while (!rest.empty()) {
    const std::string_view name = TakeField(rest);
    metadata.emplace_back(name, TakeField(rest));
  }
  return metadata;
}

int64_t Answer::charge() const {
  const auto size = static_cast<int64_t>(sizeof(Answer)) + key_size_ + size_;
  return AllocationCharge(size) + kIndexCharge;
}

void Answer::Free() const {
  this->~Answer();
  ::operator delete(const_cast<Answer*>(this));
}

}  // namespace memod
