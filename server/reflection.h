// Server reflection, v1 and v1alpha: which services a port serves, and what they are.
//
// (gRPC's own plugin knows only what is compiled in, and only v1alpha.)
#pragma once

#include <google/protobuf/descriptor_database.h>
#include <grpcpp/impl/service_type.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace memod {

// Services, and the files that describe them.
struct ReflectionSource {
  std::vector<std::string> services;  // full names
  // Finds in parallel are safe. Null: nothing but the names is known.
  std::shared_ptr<google::protobuf::DescriptorDatabase> files;
};

// Of what is compiled in.
std::shared_ptr<google::protobuf::DescriptorDatabase> CompiledInFiles();

// Asked again for each question, so it may change; where two sources have the same, the first one
// counts. But:
//  - what a service is, is its own source's to say;
//  - a file of the same name may have other contents in another source. So an answer holds with a
//    file all that it imports, of the same source; and a file that is asked for by its name is
//    first sought where the stream's last answer is from.
// Does not block.
using ReflectionSources = std::function<std::vector<ReflectionSource>()>;

// To be registered with a server, each.
std::vector<std::unique_ptr<grpc::Service>> MakeReflection(const ReflectionSources& sources);

}  // namespace memod
