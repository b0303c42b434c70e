// The types that a server knows, by gRPC server reflection (v1alpha).
#pragma once

#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/descriptor_database.h>
#include <grpcpp/channel.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"

namespace memod {

// For a google::protobuf::DescriptorPool, which asks it for the files that it needs. Not
// thread-safe.
class ReflectionDatabase final : public google::protobuf::DescriptorDatabase {
 public:
  // `timeout`: of each question to the server.
  ReflectionDatabase(const std::shared_ptr<grpc::Channel>& server, absl::Duration timeout);

  bool FindFileByName(const std::string& name,
                      google::protobuf::FileDescriptorProto* file) override;
  bool FindFileContainingSymbol(const std::string& symbol,
                                google::protobuf::FileDescriptorProto* file) override;
  // Extensions are proto2's; no message here has any.
  bool FindFileContainingExtension(const std::string& type, int number,
                                   google::protobuf::FileDescriptorProto* file) override;

  // Full names of the services that the server offers.
  absl::StatusOr<std::vector<std::string>> ListServices();

  // Why the last question had no answer.
  const absl::Status& status() const { return status_; }

 private:
  using Request = grpc::reflection::v1alpha::ServerReflectionRequest;
  using Response = grpc::reflection::v1alpha::ServerReflectionResponse;

  // Adds the files that the server answers with to `known_`.
  absl::Status AskForFiles(const Request& request);
  absl::Status Ask(const Request& request, Response* response);

  const std::unique_ptr<grpc::reflection::v1alpha::ServerReflection::Stub> stub_;
  const absl::Duration timeout_;
  google::protobuf::SimpleDescriptorDatabase known_;
  absl::Status status_;
};

}  // namespace memod
