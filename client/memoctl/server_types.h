// The messages and methods that a server knows, and JSON as messages of theirs.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/message.h>
#include <grpcpp/channel.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "memod/client/memoctl/reflection.h"

namespace memod {

// Asks by reflection for what it needs, and remembers it. Messages and descriptors that it gives
// out live as long as it does. Not thread-safe.
//
// Errors of all questions: the server's; UNIMPLEMENTED: it offers no reflection.
class ServerTypes {
 public:
  // `timeout`: of each question to the server.
  ServerTypes(const std::shared_ptr<grpc::Channel>& server, absl::Duration timeout);

  // Errors: NOT_FOUND: no such type.
  absl::StatusOr<const google::protobuf::Descriptor*> FindMessage(const std::string& name);

  // By "/pkg.Service/Method", "pkg.Service/Method" or "pkg.Service.Method".
  // Errors: NOT_FOUND: no such method, and which it may be instead.
  absl::StatusOr<const google::protobuf::MethodDescriptor*> FindMethod(const std::string& name);

  std::unique_ptr<google::protobuf::Message> New(const google::protobuf::Descriptor& type);

  // `json`: protobuf's mapping; empty: an empty message. `what` names it in errors, as in "state".
  // Errors: Misuse: says where it is wrong.
  absl::StatusOr<std::unique_ptr<google::protobuf::Message>> FromJson(
      const google::protobuf::Descriptor& type, const std::string& json, std::string_view what);

 private:
  // Full names with both slashes; those that the server tells.
  std::vector<std::string> ListMethods();
  // NOT_FOUND with `missing`, unless the question itself failed.
  absl::Status WhyNot(const std::string& missing) const;

  ReflectionDatabase database_;
  google::protobuf::DescriptorPool pool_{&database_};
  google::protobuf::DynamicMessageFactory factory_{&pool_};
};

// "/pkg.Service/Method", as calls are addressed.
std::string PathOf(const google::protobuf::MethodDescriptor& method);

}  // namespace memod
