# What memod's libraries are built on. gRPC's own package file wants protobuf found in module mode
# first.
include(CMakeFindDependencyMacro)
find_dependency(Threads)
find_dependency(Protobuf MODULE)
find_dependency(gRPC CONFIG)
find_dependency(absl CONFIG)
find_dependency(spdlog CONFIG)
