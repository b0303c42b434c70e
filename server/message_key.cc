#include "memod/server/message_key.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <climits>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "memod/server/config_values.h"
#include "memod/server/message_text.h"
#include "memod/server/suggestion.h"

namespace memod {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// So that no message's key equals that of bytes that are none.
constexpr char kIsMessage = 'm';
constexpr char kIsBytes = 'b';

// Its messages are computed on here, and go nowhere else.
bool IsCompiledIn(const Descriptor& type) {
  return type.file()->pool() == google::protobuf::DescriptorPool::generated_pool();
}

// Where a path goes on behind `field`; null: nowhere.
const Descriptor* Within(const FieldDescriptor& field) {
  return field.is_map() ? field.message_type()->map_value()->message_type() : field.message_type();
}

std::vector<std::string> FieldNames(const Descriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.field_count(); ++i) names.push_back(type.field(i)->name());
  return names;
}

absl::Status NoField(const std::string& path, const Descriptor& type, const std::string& name) {
  const std::vector<std::string> names = FieldNames(type);
  return absl::InvalidArgumentError(
      absl::StrCat(Shown(path), ": ", type.full_name(), " has no field ", Shown(name),
                   names.empty() ? ", nor any other" : Suggestion(name, names, "")));
}

using FieldPath = std::vector<const FieldDescriptor*>;
using Step = FieldPath::const_iterator;

// Calls `visit` with every message that the field at the end of a path is in, and that field.
template <class Visit>
void ForEach(Message& message, Step step, Step end, const Visit& visit) {
  const FieldDescriptor* field = *step;
  const Reflection& reflection = *message.GetReflection();
  if (step + 1 == end) return visit(message, *field);
  if (!field->is_repeated()) {
    if (!reflection.HasField(message, field)) return;
    return ForEach(*reflection.MutableMessage(&message, field), step + 1, end, visit);
  }
  for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
    Message* element = reflection.MutableRepeatedMessage(&message, field, i);
    if (field->is_map()) {
      const FieldDescriptor* value = field->message_type()->map_value();
      element = element->GetReflection()->MutableMessage(element, value);
    }
    ForEach(*element, step + 1, end, visit);
  }
}

void Clear(Message& message, const FieldPath& path) {
  ForEach(message, path.begin(), path.end(), [](Message& in, const FieldDescriptor& field) {
    in.GetReflection()->ClearField(&in, &field);
  });
}

bool Has(Message& message, const FieldPath& path) {
  bool has = false;
  ForEach(message, path.begin(), path.end(), [&](Message& in, const FieldDescriptor& field) {
    const Reflection& reflection = *in.GetReflection();
    has |= field.is_repeated() ? reflection.FieldSize(in, &field) > 0
                               : reflection.HasField(in, &field);
  });
  return has;
}

// Of a DynamicMessage, which keeps them all and encodes them in an order that need not tell which
// of them counts. Nobody encodes a map so.
bool HasMapKeyTwice(const Message& message) {
  const Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      if (HasMapKeyTwice(reflection.GetMessage(message, field))) return true;
      continue;
    }
    if (field->is_map() && MapEntries(message, *field).size() !=
                               static_cast<size_t>(reflection.FieldSize(message, field))) {
      return true;
    }
    for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
      if (HasMapKeyTwice(reflection.GetRepeatedMessage(message, field, i))) return true;
    }
  }
  return false;
}

// Whether `text` is `other`, or a path within it.
bool IsWithin(const std::string& text, const std::string& other) {
  return text == other || text.starts_with(other + ".");
}

// Each path once, and none within another.
void CheckOverlap(const std::vector<std::string>& paths, std::vector<std::string>& faults) {
  for (size_t i = 0; i < paths.size(); ++i) {
    for (size_t j = 0; j < paths.size(); ++j) {
      const bool same = paths[i] == paths[j];
      if (i == j || !IsWithin(paths[i], paths[j]) || (same && i < j)) continue;
      faults.push_back(same ? absl::StrCat(Shown(paths[i]), ": got it twice; want each once")
                            : absl::StrCat(Shown(paths[i]), ": is within ", Shown(paths[j]),
                                           ", which is ignored already; want one of them"));
    }
  }
}

}  // namespace

absl::StatusOr<MessageKey> MessageKey::Make(const Descriptor& type,
                                            const std::vector<std::string>& ignore,
                                            google::protobuf::MessageFactory* factory) {
  const Message* prototype = factory->GetPrototype(&type);
  if (!prototype) {
    return absl::InvalidArgumentError(absl::StrCat(type.full_name(), " is not compiled in"));
  }
  std::vector<Path> paths;
  std::vector<std::string> faults;
  for (const std::string& text : ignore) {
    absl::StatusOr<Path> path = Resolve(type, text);
    if (path.ok()) {
      paths.push_back(*std::move(path));
    } else {
      faults.emplace_back(path.status().message());
    }
  }
  CheckOverlap(ignore, faults);
  if (!faults.empty()) return absl::InvalidArgumentError(absl::StrJoin(faults, "\n"));
  return MessageKey(*prototype, std::move(paths));
}

absl::StatusOr<MessageKey::Path> MessageKey::Resolve(const Descriptor& type,
                                                     const std::string& text) {
  Path path{text, {}};
  const Descriptor* within = &type;
  for (const std::string& name : std::vector<std::string>(absl::StrSplit(text, '.'))) {
    if (!within) {
      const FieldDescriptor& last = *path.fields.back();
      return absl::InvalidArgumentError(
          absl::StrCat(Shown(text), ": ", last.full_name(), " is of type ",
                       last.is_map() ? "map" : last.type_name(), ", which has no fields"));
    }
    const FieldDescriptor* field = within->FindFieldByName(name);
    if (!field) return NoField(text, *within, name);
    path.fields.push_back(field);
    within = Within(*field);
  }
  return path;
}

std::string MessageKey::OfBytes(std::string_view request) {
  std::string key(1, kIsBytes);
  return key.append(request);
}

std::string MessageKey::Of(std::string_view request) const {
  const std::unique_ptr<Message> message = ParseKey(request);
  const size_t size = message ? message->ByteSizeLong() : 0;
  // Repacked, a request can outgrow what protobuf encodes.
  if (!message || size >= INT_MAX) return OfBytes(request);
  std::string key;
  key.reserve(1 + size);
  key.push_back(kIsMessage);
  {
    google::protobuf::io::StringOutputStream stream(&key);
    google::protobuf::io::CodedOutputStream out(&stream);
    out.SetSerializationDeterministic(true);
    message->SerializePartialToCodedStream(&out);
  }
  return key;
}

std::unique_ptr<Message> MessageKey::Parse(std::string_view request) const {
  std::unique_ptr<Message> message(prototype_->New());
  if (request.size() > INT_MAX) return nullptr;
  const int size = static_cast<int>(request.size());
  return message->ParsePartialFromArray(request.data(), size) ? std::move(message) : nullptr;
}

std::unique_ptr<Message> MessageKey::ParseKey(std::string_view request) const {
  std::unique_ptr<Message> message = Parse(request);
  if (!message) return nullptr;
  if (!IsCompiledIn(*message->GetDescriptor())) {
    if (HasMapKeyTwice(*message)) return nullptr;
  } else {
    // First: protobuf 3.21 discards nothing within a map whose entries reflection has changed.
    message->DiscardUnknownFields();
  }
  for (const Path& path : ignore_) Clear(*message, path.fields);
  return message;
}

std::string MessageKey::Text(std::string_view request) const {
  const std::unique_ptr<Message> message = ParseKey(request);
  if (message) return MessageText(*message);
  return NotDecoded(request, ClippedPair(std::string(request), std::string(request)).first);
}

std::string MessageKey::NotDecoded(std::string_view request, const std::string& shown) const {
  return absl::StrCat("not a ", prototype_->GetTypeName(), ": ", request.size(), " bytes \"",
                      absl::CEscape(shown), "\"");
}

std::vector<std::string> MessageKey::Differences(std::string_view a, std::string_view b) const {
  const std::unique_ptr<Message> message_a = ParseKey(a), message_b = ParseKey(b);
  if (message_a && message_b) {
    std::vector<std::string> lines = MessageDifferences(*message_a, *message_b);
    if (lines.empty() && Of(a) != Of(b)) lines.emplace_back("unknown fields differ");
    return lines;
  }
  if (!message_a && !message_b && a == b) return {};
  if (message_a || message_b) {
    const auto [text_a, text_b] = ClippedPair(Text(a), Text(b));
    return {absl::StrCat(text_a, " vs ", text_b)};
  }
  const auto [bytes_a, bytes_b] = ClippedPair(std::string(a), std::string(b));
  return {absl::StrCat(NotDecoded(a, bytes_a), " vs ", NotDecoded(b, bytes_b))};
}

std::vector<std::string> MessageKey::LeftOut(std::string_view request) const {
  const std::unique_ptr<Message> message = Parse(request);
  if (!message) return {};
  bool has_unknown = false;
  if (IsCompiledIn(*message->GetDescriptor())) {
    const size_t size = message->ByteSizeLong();
    message->DiscardUnknownFields();
    has_unknown = message->ByteSizeLong() != size;
  }
  std::vector<std::string> left_out;
  for (const Path& path : ignore_) {
    if (Has(*message, path.fields)) left_out.push_back(path.text);
  }
  if (has_unknown) left_out.emplace_back("(unknown fields)");
  return left_out;
}

}  // namespace memod
