#include "memod/server/reflection.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/support/server_callback.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "grpc/reflection/v1/reflection.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"

namespace memod {
namespace {

namespace v1 = grpc::reflection::v1;
namespace v1alpha = grpc::reflection::v1alpha;
using google::protobuf::DescriptorDatabase;
using google::protobuf::FileDescriptorProto;

// Whether `symbol` is one of the services, or a method of one.
bool Serves(const ReflectionSource& source, std::string_view symbol) {
  const auto is_it = [symbol](const std::string& service) {
    return symbol.starts_with(service) &&
           (symbol.size() == service.size() || symbol[service.size()] == '.');
  };
  return std::any_of(source.services.begin(), source.services.end(), is_it);
}

// The file and all that it imports, each once, what is imported behind what imports it.
std::vector<std::string> Encoded(const FileDescriptorProto& file, DescriptorDatabase& files) {
  std::vector<std::string> encoded;
  std::set<std::string> seen = {file.name()};
  std::vector<FileDescriptorProto> todo = {file};
  while (!todo.empty()) {
    const FileDescriptorProto next = std::move(todo.back());
    todo.pop_back();
    encoded.push_back(next.SerializeAsString());
    for (const std::string& import : next.dependency()) {
      FileDescriptorProto imported;
      if (!seen.insert(import).second || !files.FindFileByName(import, &imported)) continue;
      todo.push_back(std::move(imported));
    }
  }
  return encoded;
}

// What one stream asks for, v1 and v1alpha alike: their messages differ in name only.
class Questions {
 public:
  explicit Questions(const ReflectionSources& sources) : sources_(sources) {}

  template <class Request, class Response>
  void Answer(const Request& request, Response& response) {
    current_ = sources_();
    response.set_valid_host(request.host());
    *response.mutable_original_request() = request;
    switch (request.message_request_case()) {
      case Request::kListServices:
        return ListServices(*response.mutable_list_services_response());
      case Request::kFileByFilename:
        return AnswerFile(request.file_by_filename(), InOrder(last_), response,
                          [&](DescriptorDatabase& files, FileDescriptorProto* file) {
                            return files.FindFileByName(request.file_by_filename(), file);
                          });
      case Request::kFileContainingSymbol:
        return AnswerFile(
            request.file_containing_symbol(), InOrder(OwnerOf(request.file_containing_symbol())),
            response, [&](DescriptorDatabase& files, FileDescriptorProto* file) {
              return files.FindFileContainingSymbol(request.file_containing_symbol(), file);
            });
      case Request::kFileContainingExtension: {
        const auto& extension = request.file_containing_extension();
        return AnswerFile(extension.containing_type(), InOrder(last_), response,
                          [&](DescriptorDatabase& files, FileDescriptorProto* file) {
                            return files.FindFileContainingExtension(
                                extension.containing_type(), extension.extension_number(), file);
                          });
      }
      case Request::kAllExtensionNumbersOfType:
        return ListExtensions(request.all_extension_numbers_of_type(), response);
      default:
        return Error(grpc::StatusCode::INVALID_ARGUMENT, "no question", response);
    }
  }

 private:
  template <class List>
  void ListServices(List& list) {
    std::set<std::string> names;
    for (const ReflectionSource& source : current_) {
      names.insert(source.services.begin(), source.services.end());
    }
    for (const std::string& name : names) list.add_service()->set_name(name);
  }

  template <class Response, class Find>
  void AnswerFile(const std::string& name, const std::vector<size_t>& order, Response& response,
                  const Find& find) {
    for (const size_t i : order) {
      FileDescriptorProto file;
      if (!current_[i].files || !find(*current_[i].files, &file)) continue;
      last_ = i;
      for (std::string& each : Encoded(file, *current_[i].files)) {
        response.mutable_file_descriptor_response()->add_file_descriptor_proto(std::move(each));
      }
      return;
    }
    Error(grpc::StatusCode::NOT_FOUND, absl::StrCat("not found: ", name), response);
  }

  template <class Response>
  void ListExtensions(const std::string& type, Response& response) {
    for (const size_t i : InOrder(last_)) {
      FileDescriptorProto file;
      std::vector<int> numbers;
      if (!current_[i].files || !current_[i].files->FindFileContainingSymbol(type, &file)) continue;
      current_[i].files->FindAllExtensionNumbers(type, &numbers);  // false: there are none
      std::sort(numbers.begin(), numbers.end());
      auto& list = *response.mutable_all_extension_numbers_response();
      list.set_base_type_name(type);
      list.mutable_extension_number()->Add(numbers.begin(), numbers.end());
      return;
    }
    Error(grpc::StatusCode::NOT_FOUND, absl::StrCat("not found: ", type), response);
  }

  template <class Response>
  static void Error(grpc::StatusCode code, const std::string& message, Response& response) {
    response.mutable_error_response()->set_error_code(code);
    response.mutable_error_response()->set_error_message(message);
  }

  size_t OwnerOf(std::string_view symbol) const {
    for (size_t i = 0; i < current_.size(); ++i) {
      if (Serves(current_[i], symbol)) return i;
    }
    return 0;
  }
  // The places of all sources, `first` before the others.
  std::vector<size_t> InOrder(size_t first) const {
    std::vector<size_t> order = {first};
    for (size_t i = 0; i < current_.size(); ++i) {
      if (i != first) order.push_back(i);
    }
    return order;
  }

  const ReflectionSources& sources_;
  std::vector<ReflectionSource> current_;  // there are always as many
  size_t last_ = 0;                        // of which the last file was
};

template <class Request, class Response>
class Stream final : public grpc::ServerBidiReactor<Request, Response> {
 public:
  explicit Stream(const ReflectionSources& sources) : questions_(sources) {
    this->StartRead(&request_);
  }
  void OnReadDone(bool ok) override {
    if (!ok) return this->Finish(grpc::Status::OK);
    response_.Clear();
    questions_.Answer(request_, response_);
    this->StartWrite(&response_);
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return this->Finish(grpc::Status::CANCELLED);
    this->StartRead(&request_);
  }
  void OnDone() override { delete this; }

 private:
  Questions questions_;
  Request request_;
  Response response_;
};

template <class Service, class Request, class Response>
class ReflectionService final : public Service::CallbackService {
 public:
  explicit ReflectionService(ReflectionSources sources) : sources_(std::move(sources)) {}

  grpc::ServerBidiReactor<Request, Response>* ServerReflectionInfo(
      grpc::CallbackServerContext*) override {
    return new Stream<Request, Response>(sources_);
  }

 private:
  const ReflectionSources sources_;
};

}  // namespace

std::shared_ptr<DescriptorDatabase> CompiledInFiles() {
  return std::make_shared<google::protobuf::DescriptorPoolDatabase>(
      *google::protobuf::DescriptorPool::generated_pool());
}

std::vector<std::unique_ptr<grpc::Service>> MakeReflection(const ReflectionSources& sources) {
  std::vector<std::unique_ptr<grpc::Service>> services;
  services.push_back(
      std::make_unique<ReflectionService<v1::ServerReflection, v1::ServerReflectionRequest,
                                         v1::ServerReflectionResponse>>(sources));
  services.push_back(std::make_unique<
                     ReflectionService<v1alpha::ServerReflection, v1alpha::ServerReflectionRequest,
                                       v1alpha::ServerReflectionResponse>>(sources));
  return services;
}

}  // namespace memod
