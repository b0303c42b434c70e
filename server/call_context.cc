#include "memod/server/call_context.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "memod/cache/memo_error.h"
#include "memod/server/dispatcher.h"

namespace memod {
namespace {

constexpr size_t kMaxAnswerMetadata = 4096;

std::vector<std::string_view> ValuesOf(const Metadata& metadata, std::string_view name) {
  std::vector<std::string_view> values;
  for (const auto& entry : metadata) {
    if (entry.first == name) values.push_back(entry.second);
  }
  return values;
}

}  // namespace

std::vector<std::string_view> CallContext::metadata(std::string_view name) const {
  return ValuesOf(flight_.metadata(), name);
}

std::vector<std::string_view> CallContext::session_metadata(std::string_view name) const {
  if (flight_.self() == nullptr) return {};
  return ValuesOf(flight_.self()->metadata, name);
}

absl::Status CallContext::AddAnswerMetadata(std::string_view name, std::string_view value) {
  const auto is_printable = [](char c) { return c >= ' ' && c <= '~'; };
  if (!name.ends_with("-bin") && !std::all_of(value.begin(), value.end(), is_printable)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the answer's metadata ", Quoted(name),
        " has a value that is not printable ASCII; a name for any bytes ends in -bin"));
  }
  const std::string lower = absl::AsciiStrToLower({name.data(), name.size()});
  const auto& kept = flight_.method().policy.answer_metadata;
  if (std::find(kept.begin(), kept.end(), lower) == kept.end()) return absl::OkStatus();
  size_t size = lower.size() + value.size();
  for (const auto& [added, its_value] : answer_metadata_) size += added.size() + its_value.size();
  if (size > kMaxAnswerMetadata) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the answer's metadata is ", size, " bytes with ", lower, ", limit ", kMaxAnswerMetadata));
  }
  answer_metadata_.emplace_back(lower, value);
  return absl::OkStatus();
}

KeyMode CallContext::key_mode() const { return flight_.method().policy.key_mode; }

absl::StatusOr<Answer::Ref> CallContext::CallRaw(const void* tag, const std::string& request) {
  const Method* method = dispatcher_.methods().FindTag(tag);
  if (method == nullptr) {
    return absl::NotFoundError("the nested call's method is not registered with this server");
  }
  return dispatcher_.CallNested(flight_, *method, request);
}

}  // namespace memod
