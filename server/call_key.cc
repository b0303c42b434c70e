#include "memod/server/call_key.h"

#include "memod/server/message_key.h"

namespace memod {
namespace {

// How often each name was sent, and the values in their order. The names are the method's, so their
// number need not be told.
std::string MetadataKey(const std::vector<std::string>& names, const Metadata& metadata) {
  std::string key;
  for (const std::string& name : names) {
    std::string values;
    for (const auto& [sent, value] : metadata) {
      if (sent == name) AppendField(value, values);
    }
    AppendField(values, key);
  }
  return key;
}

std::string MessagePart(const Method& method, std::string_view request) {
  const bool outdated = method.message_outdated != nullptr && method.message_outdated->load();
  return outdated ? MessageKey::OfBytes(request) : method.message->Of(request);
}

}  // namespace

Metadata Select(const Metadata& from, const std::vector<std::string>& names) {
  Metadata selected;
  for (const std::string& name : names) {
    for (const auto& entry : from) {
      if (entry.first == name) selected.push_back(entry);
    }
  }
  return selected;
}

CallKey::CallKey(const Method& method, std::string_view request, MetadataReader read) {
  const Policy& policy = method.memo.policy;
  if (!method.metadata.empty()) metadata_ = read(method.metadata);
  const bool by_message = policy.key_mode == KeyMode::kMessage;
  if (policy.key_metadata.empty() && !by_message) {
    key_.emplace(method.memo.id, request);
    return;
  }
  bytes_ = MetadataKey(policy.key_metadata, metadata_);
  if (by_message) {
    bytes_.append(MessagePart(method, request));
  } else {
    bytes_.append(request);
  }
  request_ = request;
  key_.emplace(method.memo.id, bytes_);
}

}  // namespace memod
