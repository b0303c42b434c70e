#include "memod/server/grpc_metadata.h"

#include "absl/strings/str_cat.h"
#include "memod/cache/memo_error.h"

namespace memod {
namespace {

bool StaysHere(std::string_view name) {
  return name.starts_with("memo-") || name.starts_with("grpc-") || name.starts_with(":") ||
         name == "user-agent" || name == "content-type" || name == "te" || name == "host";
}

std::string ToString(grpc::string_ref s) { return {s.data(), s.size()}; }

}  // namespace

absl::Status CheckMetadata(const GrpcMetadata& sent, int64_t max_bytes) {
  constexpr int64_t kPerEntry = 32;
  int64_t bytes = 0;
  for (const auto& [name, value] : sent) {
    bytes += kPerEntry + static_cast<int64_t>(name.size() + value.size());
  }
  if (bytes <= max_bytes) return absl::OkStatus();
  return MemoError(absl::StatusCode::kResourceExhausted, memo_error::kLimit,
                   absl::StrCat("the call's metadata is ", bytes, " bytes, limit ", max_bytes,
                                " (server.max_metadata_bytes)"));
}

Metadata Select(const GrpcMetadata& from, const std::vector<std::string>& names) {
  Metadata metadata;
  for (const std::string& name : names) {
    const auto [begin, end] = from.equal_range(name);
    for (auto it = begin; it != end; ++it) metadata.emplace_back(name, ToString(it->second));
  }
  return metadata;
}

void CopyMetadata(const GrpcMetadata& from,
                  absl::FunctionRef<void(std::string name, std::string value)> add) {
  for (const auto& [name, value] : from) {
    if (!StaysHere({name.data(), name.size()})) add(ToString(name), ToString(value));
  }
}

void CopyInitialMetadata(const grpc::ClientContext& upstream, grpc::CallbackServerContext& caller) {
  CopyMetadata(upstream.GetServerInitialMetadata(),
               [&](const std::string& name, const std::string& value) {
                 caller.AddInitialMetadata(name, value);
               });
}

void CopyTrailers(const grpc::ClientContext& upstream, grpc::CallbackServerContext& caller) {
  CopyMetadata(upstream.GetServerTrailingMetadata(),
               [&](const std::string& name, const std::string& value) {
                 caller.AddTrailingMetadata(name, value);
               });
}

void CopyToUpstream(const grpc::CallbackServerContext& caller, grpc::ClientContext& upstream) {
  CopyMetadata(caller.client_metadata(), [&](const std::string& name, const std::string& value) {
    upstream.AddMetadata(name, value);
  });
  upstream.set_deadline(caller.deadline());
}

}  // namespace memod
