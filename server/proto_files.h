// .proto files that are not compiled in: what an upstream's services and messages are.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/descriptor_database.h>
#include <google/protobuf/dynamic_message.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "memod/cache/mutex.h"

namespace memod {

// Constant once made; thread-safe. Descriptors and messages that it gives out live as long as it
// does.
class ProtoFiles {
 public:
  // `services`: the full names of those that there are.
  // INVALID_ARGUMENT: a file contradicts another one; which.
  static absl::StatusOr<std::shared_ptr<const ProtoFiles>> Make(
      std::vector<std::string> services, const google::protobuf::FileDescriptorSet& files);
  // An encoded FileDescriptorSet, as `protoc --include_imports --descriptor_set_out=PATH` and
  // `buf build -o PATH` write it; its services are those of its files.
  // INVALID_ARGUMENT: it cannot be read, or is none; why.
  static absl::StatusOr<std::shared_ptr<const ProtoFiles>> Load(const std::string& path);

  const std::vector<std::string>& services() const { return services_; }

  // `name` as in "/pkg.Service/Method".
  // NOT_FOUND: there is none, or its file cannot be understood; why.
  absl::StatusOr<const google::protobuf::MethodDescriptor*> FindMethod(std::string_view name) const;
  // Null if there is none.
  const google::protobuf::ServiceDescriptor* FindService(const std::string& name) const;
  // Whether this method is there, and takes one message and answers with one.
  bool IsUnary(const std::string& name) const { return unary_.contains(name); }
  // Makes messages of their types.
  google::protobuf::MessageFactory& factory() const { return factory_; }

  // The files as they came.
  google::protobuf::DescriptorDatabase& database() const { return database_; }

 private:
  // What is wrong with files, of which the pool only says that something is.
  class Faults final : public google::protobuf::DescriptorPool::ErrorCollector {
   public:
    void AddError(const std::string& file, const std::string& element,
                  const google::protobuf::Message*, ErrorLocation,
                  const std::string& message) override ABSL_LOCKS_EXCLUDED(mutex_);
    std::string first() const ABSL_LOCKS_EXCLUDED(mutex_);

   private:
    mutable Mutex mutex_;
    std::string first_ ABSL_GUARDED_BY(mutex_);
  };

  ProtoFiles() = default;

  std::vector<std::string> services_;
  absl::flat_hash_set<std::string> unary_;
  // Only read once made, in spite of its interface.
  mutable google::protobuf::SimpleDescriptorDatabase database_;
  mutable Faults faults_;
  const google::protobuf::DescriptorPool pool_{&database_, &faults_};
  mutable google::protobuf::DynamicMessageFactory factory_;
};

// What messages of the type can be, they and all that is in them: equal texts mean the same bytes.
std::string Definition(const google::protobuf::Descriptor& type);

}  // namespace memod
