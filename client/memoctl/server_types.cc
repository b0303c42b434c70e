#include "memod/client/memoctl/server_types.h"

#include <google/protobuf/util/json_util.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "memod/client/memoctl/misuse.h"
#include "memod/client/memoctl/nearest.h"

namespace memod {

using google::protobuf::Descriptor;
using google::protobuf::Message;
using google::protobuf::MethodDescriptor;
using google::protobuf::ServiceDescriptor;

ServerTypes::ServerTypes(const std::shared_ptr<grpc::Channel>& server, absl::Duration timeout)
    : database_(server, timeout) {}

absl::StatusOr<const Descriptor*> ServerTypes::FindMessage(const std::string& name) {
  if (const auto* type = pool_.FindMessageTypeByName(name); type != nullptr) return type;
  return WhyNot(absl::StrCat("the server knows no type ", name));
}

absl::StatusOr<const MethodDescriptor*> ServerTypes::FindMethod(const std::string& name) {
  const std::string dotted = absl::StrReplaceAll(absl::StripPrefix(name, "/"), {{"/", "."}});
  if (const auto* method = pool_.FindMethodByName(dotted); method != nullptr) return method;
  const absl::Status why = WhyNot(absl::StrCat("the server has no method ", name));
  if (!absl::IsNotFound(why)) return why;
  return absl::NotFoundError(absl::StrCat(why.message(), Suggestion(name, ListMethods())));
}

std::unique_ptr<Message> ServerTypes::New(const Descriptor& type) {
  return std::unique_ptr<Message>(factory_.GetPrototype(&type)->New());
}

absl::StatusOr<std::unique_ptr<Message>> ServerTypes::FromJson(const Descriptor& type,
                                                               const std::string& json,
                                                               std::string_view what) {
  auto message = New(type);
  if (json.empty()) return message;
  const auto fail = [what](const auto& why) {
    return Misuse(absl::StrCat(std::string(what), ": ", why));
  };
  // Read twice: this one knows line and column, protobuf's which field.
  try {
    if (!nlohmann::json::parse(json).is_object()) return fail("not a JSON object");
  } catch (const nlohmann::json::parse_error& error) {
    // Without the library's own number of it.
    const std::string why = error.what();
    return fail(why.substr(why.find("] ") + 2));
  }
  const auto parsed = google::protobuf::util::JsonStringToMessage(json, message.get());
  if (!parsed.ok()) {
    return fail(absl::StrCat("no ", type.full_name(), ": ", parsed.message().as_string()));
  }
  return message;
}

std::vector<std::string> ServerTypes::ListMethods() {
  std::vector<std::string> names;
  const auto services = database_.ListServices();
  if (!services.ok()) return names;
  for (const std::string& name : *services) {
    const ServiceDescriptor* service = pool_.FindServiceByName(name);
    for (int i = 0; service != nullptr && i < service->method_count(); ++i) {
      names.push_back(PathOf(*service->method(i)));
    }
  }
  return names;
}

absl::Status ServerTypes::WhyNot(const std::string& missing) const {
  const absl::Status& why = database_.status();
  if (!why.ok() && !absl::IsNotFound(why)) return why;
  return absl::NotFoundError(missing);
}

std::string PathOf(const MethodDescriptor& method) {
  return absl::StrCat("/", method.service()->full_name(), "/", method.name());
}

}  // namespace memod
