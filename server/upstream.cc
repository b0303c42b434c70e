#include "memod/server/upstream.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/support/channel_arguments.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memod/cache/memo_error.h"
#include "memod/server/grpc_status.h"
#include "memod/server/tls.h"

namespace memod {
namespace {

// gRPC spreads its attempts to connect around these by itself, so that many memods do not come back
// to an upstream at once.
constexpr int kFirstBackoffMs = 100;
constexpr int kLongestBackoffMs = 5000;

grpc::ChannelArguments Arguments(const UpstreamConfig& config, int index) {
  grpc::ChannelArguments arguments;
  if (!config.tls_server_name.empty()) arguments.SetSslTargetNameOverride(config.tls_server_name);
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstBackoffMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kFirstBackoffMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kLongestBackoffMs);
  // Channels with equal arguments would share one connection.
  arguments.SetInt("memod.channel", index);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return arguments;
}

}  // namespace

Upstream::Upstream(const UpstreamConfig& config) : name_(config.name), target_(config.target) {
  const auto credentials = UpstreamCredentials(config);
  for (int i = 0; i < config.channels; ++i) {
    channels_.push_back(grpc::CreateCustomChannel(target_, credentials, Arguments(config, i)));
    channels_.back()->GetState(/*try_to_connect=*/true);
    stubs_.push_back(std::make_unique<Stub>(channels_.back()));
  }
}

bool Upstream::connected() const {
  return std::any_of(channels_.begin(), channels_.end(), [](const auto& channel) {
    return channel->GetState(/*try_to_connect=*/true) == GRPC_CHANNEL_READY;
  });
}

absl::Status Upstream::Ended(const grpc::Status& status, const GrpcMetadata& trailers) {
  calls_.fetch_add(1, std::memory_order_relaxed);
  if (status.ok()) return absl::OkStatus();
  errors_.fetch_add(1, std::memory_order_relaxed);
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE && !connected()) {
    return MemoError(
        absl::StatusCode::kUnavailable, memo_error::kUpstream,
        absl::StrCat("upstream ", name_, " (", target_, "): ", status.error_message()));
  }
  Metadata kept;
  CopyMetadata(trailers, [&](std::string name, std::string value) {
    kept.emplace_back(std::move(name), std::move(value));
  });
  return FromGrpcStatus(status, kept);
}

}  // namespace memod
