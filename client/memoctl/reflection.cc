#include "memod/client/memoctl/reflection.h"

#include <grpcpp/client_context.h>

#include "absl/time/clock.h"
#include "memod/client/grpc_status.h"

namespace memod {

using google::protobuf::FileDescriptorProto;
using grpc::reflection::v1alpha::ServerReflection;

ReflectionDatabase::ReflectionDatabase(const std::shared_ptr<grpc::Channel>& server,
                                       absl::Duration timeout)
    : stub_(ServerReflection::NewStub(server)), timeout_(timeout) {}

bool ReflectionDatabase::FindFileByName(const std::string& name, FileDescriptorProto* file) {
  if (known_.FindFileByName(name, file)) return true;
  Request request;
  request.set_file_by_filename(name);
  status_ = AskForFiles(request);
  return status_.ok() && known_.FindFileByName(name, file);
}

bool ReflectionDatabase::FindFileContainingSymbol(const std::string& symbol,
                                                  FileDescriptorProto* file) {
  if (known_.FindFileContainingSymbol(symbol, file)) return true;
  Request request;
  request.set_file_containing_symbol(symbol);
  status_ = AskForFiles(request);
  return status_.ok() && known_.FindFileContainingSymbol(symbol, file);
}

bool ReflectionDatabase::FindFileContainingExtension(const std::string&, int,
                                                     FileDescriptorProto*) {
  return false;
}

absl::StatusOr<std::vector<std::string>> ReflectionDatabase::ListServices() {
  Request request;
  request.set_list_services("*");
  Response response;
  if (absl::Status status = Ask(request, &response); !status.ok()) return status;
  std::vector<std::string> names;
  for (const auto& service : response.list_services_response().service()) {
    names.push_back(service.name());
  }
  return names;
}

absl::Status ReflectionDatabase::AskForFiles(const Request& request) {
  Response response;
  if (absl::Status status = Ask(request, &response); !status.ok()) return status;
  for (const std::string& bytes : response.file_descriptor_response().file_descriptor_proto()) {
    FileDescriptorProto file, known;
    if (!file.ParseFromString(bytes)) return absl::DataLossError("reflection sent no descriptor");
    if (!known_.FindFileByName(file.name(), &known)) known_.Add(file);
  }
  return absl::OkStatus();
}

absl::Status ReflectionDatabase::Ask(const Request& request, Response* response) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout_));
  const auto stream = stub_->ServerReflectionInfo(&context);
  stream->Write(request);
  stream->WritesDone();
  const bool answered = stream->Read(response);
  for (Response rest; stream->Read(&rest);) continue;
  const grpc::Status status = stream->Finish();
  if (!status.ok()) return FromGrpc(status);
  if (!answered) return absl::InternalError("reflection did not answer");
  if (!response->has_error_response()) return absl::OkStatus();
  const auto& error = response->error_response();
  return absl::Status(static_cast<absl::StatusCode>(error.error_code()), error.error_message());
}

}  // namespace memod
