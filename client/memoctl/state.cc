#include "memod/client/memoctl/state.h"

#include <google/protobuf/descriptor.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "memod/client/memoctl/argument.h"
#include "memod/client/memoctl/misuse.h"

namespace memod {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using Json = nlohmann::json;

absl::StatusOr<Json> ParseObject(const std::string& text) {
  if (text.empty()) return Json::object();
  try {
    Json json = Json::parse(text);
    if (json.is_object()) return json;
    return Misuse("state: not a JSON object");
  } catch (const Json::parse_error& error) {
    const std::string why = error.what();
    return Misuse(absl::StrCat("state: ", why.substr(why.find("] ") + 2)));
  }
}

absl::StatusOr<const FieldDescriptor*> FindField(const Descriptor& type, const std::string& name) {
  if (const auto* field = type.FindFieldByName(name); field != nullptr) return field;
  std::vector<std::string> names;
  for (int i = 0; i < type.field_count(); ++i) names.push_back(type.field(i)->name());
  return Misuse(absl::StrCat(type.full_name(), " has no field \"", name,
                             "\", only: ", absl::StrJoin(names, ", ")));
}

Json FieldValue(const FieldDescriptor& field, std::string value) {
  if (!field.is_repeated() && field.type() == FieldDescriptor::TYPE_STRING) return value;
  if (!field.is_repeated() && field.type() == FieldDescriptor::TYPE_BYTES) {
    return absl::Base64Escape(value);
  }
  Json json = Json::parse(value, nullptr, /*allow_exceptions=*/false);
  return json.is_discarded() ? Json(std::move(value)) : json;
}

absl::Status SetField(const Descriptor& type, const std::string& assignment, Json& object) {
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos) {
    return Misuse(absl::StrCat("\"", assignment, "\" is no FIELD=VALUE"));
  }
  const std::string name = assignment.substr(0, equals);
  auto field = FindField(type, name);
  if (!field.ok()) return field.status();
  auto value = ReadArgument(assignment.substr(equals + 1));
  if (!value.ok()) return value.status();
  // Either spelling may stand in the JSON; both at once would leave it open which one counts.
  object.erase((*field)->json_name());
  object[name] = FieldValue(**field, *std::move(value));
  return absl::OkStatus();
}

absl::StatusOr<std::string> StateJson(const Descriptor& type, const StateText& text) {
  auto json = ReadArgument(text.json);
  if (!json.ok()) return json.status();
  auto object = ParseObject(*json);
  if (!object.ok()) return object.status();
  for (const std::string& assignment : text.fields) {
    absl::Status set = SetField(type, assignment, *object);
    if (!set.ok()) return set;
  }
  try {
    return object->dump();
  } catch (const Json::type_error&) {
    return Misuse("state: a text is not UTF-8");
  }
}

}  // namespace

absl::StatusOr<google::protobuf::Any> BuildState(ServerTypes& types, const StateText& text) {
  const auto type = types.FindMessage(text.type);
  if (!type.ok()) return type.status();
  const auto json = StateJson(**type, text);
  if (!json.ok()) return json.status();
  const auto state = types.FromJson(**type, *json, "state");
  if (!state.ok()) return state.status();
  google::protobuf::Any any;
  any.PackFrom(**state);
  return any;
}

}  // namespace memod
