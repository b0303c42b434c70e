#include "memod/cache/answer.h"

#include <cstring>
#include <new>

#include "absl/strings/cord.h"

namespace memod {

Answer* Answer::Allocate(absl::StatusCode code, size_t size, const std::string& extra) {
  void* memory = ::operator new(sizeof(Answer) + size + extra.size());
  Answer* answer = new (memory) Answer(code != absl::StatusCode::kOk, static_cast<uint32_t>(size),
                                       static_cast<uint32_t>(extra.size()));
  std::memcpy(answer->data() + size, extra.data(), extra.size());
  return answer;
}

Answer::Ref Answer::Copy(std::string_view bytes, const Metadata& metadata) {
  return Make(
      bytes.size(), [&](char* to) { std::memcpy(to, bytes.data(), bytes.size()); }, metadata);
}

Answer::Ref Answer::OfError(const absl::Status& error) {
  std::string extra(1, static_cast<char>(error.code()));
  AppendField({error.message().data(), error.message().size()}, extra);
  error.ForEachPayload([&](absl::string_view type, const absl::Cord& payload) {
    AppendField({type.data(), type.size()}, extra);
    AppendField(std::string(payload), extra);
  });
  return Ref(Allocate(error.code(), 0, extra));
}

absl::StatusCode Answer::code() const {
  return is_error_ ? static_cast<absl::StatusCode>(extra().front()) : absl::StatusCode::kOk;
}

absl::Status Answer::DecodeError() const {
  std::string_view rest = extra().substr(1);
  const std::string_view message = TakeField(rest);
  absl::Status status(code(), {message.data(), message.size()});
  while (!rest.empty()) {
    const std::string_view type = TakeField(rest);
    const std::string_view payload = TakeField(rest);
    status.SetPayload({type.data(), type.size()}, absl::Cord({payload.data(), payload.size()}));
  }
  return status;
}

std::string Answer::Encode(const Metadata& metadata) {
  std::string extra;
  for (const auto& [name, value] : metadata) {
    AppendField(name, extra);
    AppendField(value, extra);
  }
  return extra;
}

Metadata Answer::Decode() const {
  Metadata metadata;
  for (std::string_view rest = extra(); !rest.empty();) {
    const std::string_view name = TakeField(rest);
    metadata.emplace_back(name, TakeField(rest));
  }
  return metadata;
}

void Answer::Unref() const {
  // Acquire-release: the last one out must see every other holder done with the bytes.
  if (references_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  this->~Answer();
  ::operator delete(const_cast<Answer*>(this));
}

}  // namespace memod
