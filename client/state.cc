#include "memod/client/state.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/util/json_util.h>

#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "memod/client/reflection.h"

namespace memod {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using Json = nlohmann::json;

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  const auto fail = [&path] {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot read ", path, ": ", std::generic_category().message(errno)));
  };
  if (file == nullptr) return fail();
  std::string text;
  char part[65536];
  for (size_t size; (size = std::fread(part, 1, sizeof part, file.get())) > 0;) {
    text.append(part, size);
  }
  if (std::ferror(file.get())) return fail();
  return text;
}

// What stands for `value`: a file's text where it says "@FILE".
absl::StatusOr<std::string> Resolve(std::string value) {
  if (value.empty() || value[0] != '@') return value;
  return ReadFile(value.substr(1));
}

absl::StatusOr<Json> ParseObject(const std::string& text) {
  if (text.empty()) return Json::object();
  try {
    Json json = Json::parse(text);
    if (json.is_object()) return json;
    return absl::InvalidArgumentError("state: not a JSON object");
  } catch (const Json::parse_error& error) {
    return absl::InvalidArgumentError(absl::StrCat("state: ", error.what()));
  }
}

absl::StatusOr<const FieldDescriptor*> FindField(const Descriptor& type, const std::string& name) {
  if (const auto* field = type.FindFieldByName(name); field != nullptr) return field;
  std::vector<std::string> names;
  for (int i = 0; i < type.field_count(); ++i) names.push_back(type.field(i)->name());
  return absl::InvalidArgumentError(absl::StrCat(type.full_name(), " has no field \"", name,
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
    return absl::InvalidArgumentError(absl::StrCat("\"", assignment, "\" is no FIELD=VALUE"));
  }
  const std::string name = assignment.substr(0, equals);
  auto field = FindField(type, name);
  if (!field.ok()) return field.status();
  auto value = Resolve(assignment.substr(equals + 1));
  if (!value.ok()) return value.status();
  // Either spelling may stand in the JSON; both at once would leave it open which one counts.
  object.erase((*field)->json_name());
  object[name] = FieldValue(**field, *std::move(value));
  return absl::OkStatus();
}

absl::StatusOr<std::string> StateJson(const Descriptor& type, const StateText& text) {
  auto json = Resolve(text.json);
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
    return absl::InvalidArgumentError("state: a text is not UTF-8");
  }
}

}  // namespace

absl::StatusOr<google::protobuf::Any> BuildState(const std::shared_ptr<grpc::Channel>& server,
                                                 const StateText& text, absl::Duration timeout) {
  ReflectionDatabase database(server, timeout);
  google::protobuf::DescriptorPool pool(&database);
  const Descriptor* type = pool.FindMessageTypeByName(text.type);
  if (type == nullptr) {
    const absl::Status& why = database.status();
    if (!why.ok() && !absl::IsNotFound(why)) return why;
    return absl::NotFoundError(absl::StrCat("the server knows no type ", text.type));
  }
  auto json = StateJson(*type, text);
  if (!json.ok()) return json.status();

  google::protobuf::DynamicMessageFactory factory(&pool);
  const std::unique_ptr<google::protobuf::Message> state(factory.GetPrototype(type)->New());
  const auto parsed = google::protobuf::util::JsonStringToMessage(*json, state.get());
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("state: ", parsed.message().as_string()));
  }
  google::protobuf::Any any;
  any.PackFrom(*state);
  return any;
}

}  // namespace memod
