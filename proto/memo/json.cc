#include "memo/json.h"

#include <google/protobuf/descriptor.h>

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/escaping.h"

namespace memod {
namespace {

using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using Json = nlohmann::ordered_json;

Json Object(const Message& message);

Json EnumName(const EnumDescriptor& type, int number) {
  const auto* value = type.FindValueByNumber(number);
  return value == nullptr ? Json(number) : Json(value->name());
}

Json Text(const FieldDescriptor* field, std::string text) {
  if (field->type() == FieldDescriptor::TYPE_BYTES) return absl::Base64Escape(text);
  return text;
}

// The element of a repeated field at `i`, or the value of another field, where `i` is negative.
Json Value(const Message& m, const FieldDescriptor* f, int i) {
  const Reflection& r = *m.GetReflection();
  const bool one = i < 0;
  switch (f->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return one ? r.GetInt32(m, f) : r.GetRepeatedInt32(m, f, i);
    case FieldDescriptor::CPPTYPE_INT64:
      return one ? r.GetInt64(m, f) : r.GetRepeatedInt64(m, f, i);
    case FieldDescriptor::CPPTYPE_UINT32:
      return one ? r.GetUInt32(m, f) : r.GetRepeatedUInt32(m, f, i);
    case FieldDescriptor::CPPTYPE_UINT64:
      return one ? r.GetUInt64(m, f) : r.GetRepeatedUInt64(m, f, i);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return one ? r.GetDouble(m, f) : r.GetRepeatedDouble(m, f, i);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return one ? r.GetFloat(m, f) : r.GetRepeatedFloat(m, f, i);
    case FieldDescriptor::CPPTYPE_BOOL:
      return one ? r.GetBool(m, f) : r.GetRepeatedBool(m, f, i);
    case FieldDescriptor::CPPTYPE_ENUM:
      return EnumName(*f->enum_type(),
                      one ? r.GetEnumValue(m, f) : r.GetRepeatedEnumValue(m, f, i));
    case FieldDescriptor::CPPTYPE_STRING:
      return Text(f, one ? r.GetString(m, f) : r.GetRepeatedString(m, f, i));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return Object(one ? r.GetMessage(m, f) : r.GetRepeatedMessage(m, f, i));
  }
  return nullptr;
}

Json Map(const Message& message, const FieldDescriptor* field) {
  const Reflection& reflection = *message.GetReflection();
  std::map<std::string, Json> sorted;
  for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
    const Message& entry = reflection.GetRepeatedMessage(message, field, i);
    const Json key = Value(entry, field->message_type()->map_key(), -1);
    sorted[key.is_string() ? key.get<std::string>() : key.dump()] =
        Value(entry, field->message_type()->map_value(), -1);
  }
  Json object = Json::object();
  for (auto& [key, value] : sorted) object[key] = std::move(value);
  return object;
}

Json Array(const Message& message, const FieldDescriptor* field) {
  Json array = Json::array();
  const int size = message.GetReflection()->FieldSize(message, field);
  for (int i = 0; i < size; ++i) array.push_back(Value(message, field, i));
  return array;
}

Json Field(const Message& message, const FieldDescriptor* field) {
  if (field->is_map()) return Map(message, field);
  if (field->is_repeated()) return Array(message, field);
  if (field->has_presence() && !message.GetReflection()->HasField(message, field)) return nullptr;
  return Value(message, field, -1);
}

Json Seconds(const Message& duration) {
  const auto* type = duration.GetDescriptor();
  const Reflection& reflection = *duration.GetReflection();
  return static_cast<double>(reflection.GetInt64(duration, type->FindFieldByNumber(1))) +
         reflection.GetInt32(duration, type->FindFieldByNumber(2)) / 1e9;
}

Json Object(const Message& message) {
  const auto* type = message.GetDescriptor();
  if (type->full_name() == "google.protobuf.Duration") return Seconds(message);
  Json object = Json::object();
  for (int i = 0; i < type->field_count(); ++i) {
    object[type->field(i)->name()] = Field(message, type->field(i));
  }
  return object;
}

}  // namespace

std::string ToJson(const Message& message, int indent) {
  return Object(message).dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace memod
