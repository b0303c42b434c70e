// What makes the key of a call: the rest of it is left out.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "memod/cache/cache_key.h"
#include "memod/cache/metadata.h"
#include "memod/server/method_table.h"

namespace memod {

// The entries of a call's metadata under these names, the values of a name in their order.
using MetadataReader = absl::FunctionRef<Metadata(const std::vector<std::string>& names)>;

// The same of metadata that is at hand.
Metadata Select(const Metadata& from, const std::vector<std::string>& names);

// The key of one call, and what goes with it to a computation. The request's bytes outlive it.
class CallKey {
 public:
  CallKey(const Method& method, std::string_view request, MetadataReader read);
  CallKey(const CallKey&) = delete;
  CallKey& operator=(const CallKey&) = delete;

  const CacheKey& key() const { return *key_; }
  // Given if the key is not made of the request's bytes alone; then it is the request.
  std::optional<std::string_view> request() const { return request_; }
  // What the method's policy takes: key.metadata and forward.
  const Metadata& metadata() const { return metadata_; }

 private:
  Metadata metadata_;
  std::string bytes_;
  std::optional<std::string_view> request_;
  std::optional<CacheKey> key_;
};

}  // namespace memod
