#include "memod/server/grpc_status.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <utility>

#include "memod/cache/memo_error.h"

namespace memod {
namespace {

using google::protobuf::internal::WireFormatLite;

// Of an upstream's error: its grpc-status-details-bin, and its trailers as AppendField writes them.
constexpr absl::string_view kDetailsPayload = "memod/grpc-status-details";
constexpr absl::string_view kTrailersPayload = "memod/trailers";

// google.rpc.Status {int32 code = 1; string message = 2; repeated Any details = 3}: its .proto is
// not in Debian's packages, and its three fields will not change.
std::string DetailsOf(const absl::Status& status) {
  if (const auto as_it_came = status.GetPayload(kDetailsPayload)) return std::string(*as_it_came);
  std::string details;
  google::protobuf::io::StringOutputStream stream(&details);
  google::protobuf::io::CodedOutputStream out(&stream);
  WireFormatLite::WriteInt32(1, static_cast<int>(status.code()), &out);
  WireFormatLite::WriteString(2, std::string(status.message().data(), status.message().size()),
                              &out);
  // Abseil visits them in any order; the same error is to look the same each time.
  std::map<std::string, std::string> payloads;
  status.ForEachPayload([&](absl::string_view type_url, const absl::Cord& payload) {
    payloads.emplace(std::string(type_url), std::string(payload));
  });
  payloads.erase(std::string(kMemoErrorPayload));
  payloads.erase(std::string(kTrailersPayload));
  for (auto& [type_url, payload] : payloads) {
    google::protobuf::Any detail;
    detail.set_type_url(type_url);
    detail.set_value(std::move(payload));
    WireFormatLite::WriteBytes(3, detail.SerializeAsString(), &out);
  }
  out.Trim();
  return payloads.empty() ? "" : details;
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  // Raw, since an upstream may send a code that nobody knows.
  return grpc::Status(static_cast<grpc::StatusCode>(status.raw_code()),
                      std::string(status.message()), DetailsOf(status));
}

absl::Status FromGrpcStatus(const grpc::Status& status, const Metadata& trailers) {
  absl::Status error(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  if (!status.error_details().empty()) {
    error.SetPayload(kDetailsPayload, absl::Cord(status.error_details()));
  }
  std::string encoded;
  for (const auto& [name, value] : trailers) {
    AppendField(name, encoded);
    AppendField(value, encoded);
  }
  if (!encoded.empty()) error.SetPayload(kTrailersPayload, absl::Cord(encoded));
  return error;
}

Metadata TrailersOf(const absl::Status& status) {
  Metadata trailers;
  const auto payload = status.GetPayload(kTrailersPayload);
  const std::string encoded = payload ? std::string(*payload) : "";
  for (std::string_view rest = encoded; !rest.empty();) {
    const std::string_view name = TakeField(rest);
    trailers.emplace_back(name, TakeField(rest));
  }
  return trailers;
}

std::string_view MemoErrorWord(const absl::Status& status) {
  using namespace memo_error;
  static constexpr std::array kWords = {
      kSessionNotFound, kSessionRequired, kSessionMismatch, kSessionClosed, kNotCached,
      kLimit,           kRecursion,       kComputeTimeout,  kDraining,      kReplaced,
      kBadRequest,      kDropped,         kUpstream};
  if (status.ok()) return {};
  const auto payload = status.GetPayload({kMemoErrorPayload.data(), kMemoErrorPayload.size()});
  if (!payload) return {};
  const auto it = std::find(kWords.begin(), kWords.end(), std::string(*payload));
  return it == kWords.end() ? std::string_view() : *it;
}

}  // namespace memod
