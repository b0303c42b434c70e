#include "memod/server/proto_files.h"

#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "memod/server/config_values.h"
#include "memod/server/read_file.h"

namespace memod {

using google::protobuf::FileDescriptorProto;
using google::protobuf::FileDescriptorSet;
using google::protobuf::MethodDescriptor;

namespace {

// Calls `found` with the full name of each service, and what the file says of it.
template <typename Found>
void ForEachService(const FileDescriptorProto& file, const Found& found) {
  const std::string package = file.package().empty() ? "" : file.package() + ".";
  for (const auto& service : file.service()) found(package + service.name(), service);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ProtoFiles>> ProtoFiles::Make(
    std::vector<std::string> services, const FileDescriptorSet& files) {
  std::shared_ptr<ProtoFiles> made(new ProtoFiles());
  made->services_ = std::move(services);
  for (const FileDescriptorProto& file : files.file()) {
    if (!made->database_.Add(file)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "file ", Shown(file.name()), " is there twice, or has a name that another file has"));
    }
    ForEachService(file, [&](const std::string& name, const auto& service) {
      for (const auto& method : service.method()) {
        if (method.client_streaming() || method.server_streaming()) continue;
        made->unary_.insert(absl::StrCat("/", name, "/", method.name()));
      }
    });
  }
  return made;
}

absl::StatusOr<std::shared_ptr<const ProtoFiles>> ProtoFiles::Load(const std::string& path) {
  const auto text = ReadFile(path);
  if (!text.ok()) return text.status();
  FileDescriptorSet files;
  if (!files.ParseFromString(*text) || files.file().empty()) {
    return absl::InvalidArgumentError("not a FileDescriptorSet, as protoc and buf write it");
  }
  std::vector<std::string> services;
  for (const FileDescriptorProto& file : files.file()) {
    ForEachService(file, [&](const std::string& name, const auto&) { services.push_back(name); });
  }
  return Make(std::move(services), files);
}

absl::StatusOr<const MethodDescriptor*> ProtoFiles::FindMethod(std::string_view name) const {
  const std::string dotted = absl::StrReplaceAll(std::string(name.substr(1)), {{"/", "."}});
  if (const MethodDescriptor* method = pool_.FindMethodByName(dotted)) return method;
  const std::string fault = faults_.first();
  return absl::NotFoundError(absl::StrCat("no method ", std::string(name),
                                          fault.empty() ? "" : absl::StrCat(" (", fault, ")")));
}

const google::protobuf::ServiceDescriptor* ProtoFiles::FindService(const std::string& name) const {
  return pool_.FindServiceByName(name);
}

void ProtoFiles::Faults::AddError(const std::string& file, const std::string& element,
                                  const google::protobuf::Message*, ErrorLocation,
                                  const std::string& message) {
  MutexLock lock(mutex_);
  if (first_.empty()) first_ = absl::StrCat(file, ": ", element, ": ", message);
}

namespace {

// Without what only matters elsewhere: options, names in JSON, comments.
std::string Define(const google::protobuf::FieldDescriptor& field) {
  std::string definition = absl::StrCat("  ", field.number(), " ", field.name(), " ",
                                        static_cast<int>(field.label()), " ", field.type_name());
  if (field.message_type() != nullptr) {
    absl::StrAppend(&definition, " ", field.message_type()->full_name());
  }
  if (field.containing_oneof() != nullptr) {
    absl::StrAppend(&definition, " of ", field.containing_oneof()->name());
  }
  if (const auto* type = field.enum_type(); type != nullptr) {
    absl::StrAppend(&definition, " ", type->full_name());
    for (int i = 0; i < type->value_count(); ++i) {
      absl::StrAppend(&definition, " ", type->value(i)->number());
    }
  }
  return definition;
}

void Define(const google::protobuf::Descriptor& type, std::map<std::string, std::string>& defined) {
  std::string& definition = defined[type.full_name()];
  if (!definition.empty()) return;
  definition = absl::StrCat(google::protobuf::FileDescriptor::SyntaxName(type.file()->syntax()),
                            type.options().map_entry() ? " map" : "", "\n");
  std::set<std::string> fields;  // in whatever order they are declared
  for (int i = 0; i < type.field_count(); ++i) fields.insert(Define(*type.field(i)));
  for (const std::string& field : fields) absl::StrAppend(&definition, field, "\n");
  for (int i = 0; i < type.field_count(); ++i) {
    if (const auto* inner = type.field(i)->message_type()) Define(*inner, defined);
  }
}

}  // namespace

std::string Definition(const google::protobuf::Descriptor& type) {
  std::map<std::string, std::string> defined;
  Define(type, defined);
  std::string text;
  for (const auto& [name, definition] : defined) absl::StrAppend(&text, name, ":\n", definition);
  return text;
}

std::string ProtoFiles::Faults::first() const {
  MutexLock lock(mutex_);
  return first_;
}

}  // namespace memod
