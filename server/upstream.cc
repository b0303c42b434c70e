#include "memod/server/upstream.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/support/channel_arguments.h>

#include <algorithm>
#include <limits>
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
// How long one attempt may take, whatever gRPC calls it.
constexpr int kConnectTimeoutMs = 5000;

// What is larger ends a whole connection, with all the calls on it. It is the caller's own limit that
// ends the call alone.
constexpr int kMaxMetadataBytes = 1 << 20;

int Milliseconds(Duration d) {
  return static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(d).count());
}

grpc::ChannelArguments Arguments(const UpstreamConfig& config, int index) {
  grpc::ChannelArguments arguments;
  if (!config.tls_server_name.empty()) arguments.SetSslTargetNameOverride(config.tls_server_name);
  arguments.SetMaxReceiveMessageSize(static_cast<int>(config.max_response_bytes));
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstBackoffMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectTimeoutMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kLongestBackoffMs);
  if (config.keepalive_time) {
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(*config.keepalive_time));
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(config.keepalive_timeout));
    // Without it a frozen upstream is pinged twice and then never again.
    arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  }
  // Channels with equal arguments would share one connection.
  arguments.SetInt("memod.channel", index);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return arguments;
}

}  // namespace

Upstream::Upstream(const UpstreamConfig& config)
    : name_(config.name),
      target_(config.target),
      services_(config.services),
      up_(config.channels),
      max_calls_(config.max_calls.value_or(std::numeric_limits<int64_t>::max())) {
  const auto credentials = UpstreamCredentials(config);
  for (int i = 0; i < config.channels; ++i) {
    channels_.push_back(grpc::CreateCustomChannel(target_, credentials, Arguments(config, i)));
    channels_.back()->GetState(/*try_to_connect=*/true);
    stubs_.push_back(std::make_unique<Stub>(channels_.back()));
  }
}

Upstream::~Upstream() {
  MutexLock lock(mutex_);
  while (holds_ > 0) idle_.wait(mutex_);
}

Upstream::Hold::Hold(Upstream& upstream) : upstream_(upstream) {
  MutexLock lock(upstream_.mutex_);
  ++upstream_.holds_;
}

Upstream::Hold::~Hold() {
  MutexLock lock(upstream_.mutex_);
  // Told under the lock: the upstream may be gone right after it.
  if (--upstream_.holds_ == 0) upstream_.idle_.notify_all();
}

Upstream::Stub& Upstream::stub() {
  const size_t next = next_.fetch_add(1, std::memory_order_relaxed);
  for (size_t i = 0; i < stubs_.size(); ++i) {
    const size_t at = (next + i) % stubs_.size();
    if (up_[at].load(std::memory_order_relaxed)) return *stubs_[at];
  }
  return *stubs_[next % stubs_.size()];
}

Upstream::State Upstream::state() const {
  MutexLock lock(mutex_);
  return state_;
}

void Upstream::SetUp(size_t channel, bool up) {
  up_[channel].store(up, std::memory_order_relaxed);
  const bool now = std::any_of(up_.begin(), up_.end(), [](const std::atomic<bool>& each) {
    return each.load(std::memory_order_relaxed);
  });
  MutexLock lock(mutex_);
  if (now != state_.connected) state_ = {now, Clock::now()};
}

bool Upstream::connected() const {
  return std::any_of(channels_.begin(), channels_.end(), [](const auto& channel) {
    return channel->GetState(/*try_to_connect=*/true) == GRPC_CHANNEL_READY;
  });
}

absl::Status Upstream::Begin() {
  const int64_t others = in_flight_.fetch_add(1, std::memory_order_relaxed);
  if (others < max_calls_) return absl::OkStatus();
  in_flight_.fetch_sub(1, std::memory_order_relaxed);
  return MemoError(absl::StatusCode::kResourceExhausted, memo_error::kLimit,
                   absl::StrCat("upstream ", name_, " has ", max_calls_,
                                " calls in flight, which is the limit (upstream.max_calls)"));
}

absl::Status Upstream::Ended(const grpc::Status& status, const GrpcMetadata& trailers) {
  in_flight_.fetch_sub(1, std::memory_order_relaxed);
  calls_.fetch_add(1, std::memory_order_relaxed);
  if (status.ok()) return absl::OkStatus();
  errors_.fetch_add(1, std::memory_order_relaxed);
  Metadata kept;
  CopyMetadata(trailers, [&](std::string name, std::string value) {
    kept.emplace_back(std::move(name), std::move(value));
  });
  // What gRPC says itself has neither details nor trailers.
  const bool own = kept.empty() && status.error_details().empty();
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE && own && !connected()) {
    return MemoError(
        absl::StatusCode::kUnavailable, memo_error::kUpstream,
        absl::StrCat("upstream ", name_, " (", target_, "): ", status.error_message()));
  }
  return FromGrpcStatus(status, kept);
}

absl::Status Upstream::EndedUnary(const grpc::Status& status, const GrpcMetadata& trailers,
                                  const grpc::ByteBuffer& answer) {
  if (!status.ok() || answer.Valid()) return Ended(status, trailers);
  return Ended(grpc::Status(grpc::StatusCode::UNIMPLEMENTED,
                            absl::StrCat("upstream ", name_, " said OK without an answer")),
               trailers);
}

}  // namespace memod
