#include "memod/server/upstream_method.h"

#include <grpcpp/client_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "memod/server/grpc_metadata.h"

namespace memod {
namespace {

// compute_timeout ends the wait first, so that its error is memod's; the upstream's deadline comes
// a little later, in case that nobody is left to cancel the call.
constexpr std::chrono::milliseconds kAfterTimeout(100);

// One computation, alive until the upstream's answer is there.
struct UpstreamComputation {
  UpstreamComputation(Computation c, Upstream& u)
      : hold(u), computation(std::move(c)), upstream(u) {}

  const Upstream::Hold hold;  // let go last
  Computation computation;
  Upstream& upstream;
  grpc::ClientContext context;
  grpc::ByteBuffer request;
  grpc::ByteBuffer answer;

  absl::StatusOr<Answer::Ref> Result(const grpc::Status& ended);
};

Answer::Ref ToAnswer(const CacheKey& key, const grpc::ByteBuffer& buffer,
                     const Metadata& metadata) {
  std::vector<grpc::Slice> slices;
  buffer.Dump(&slices).ok();  // only a buffer that is not valid cannot be
  const auto write = [&](char* to) {
    for (const grpc::Slice& slice : slices) {
      std::memcpy(to, slice.begin(), slice.size());
      to += slice.size();
    }
  };
  return Answer::Make(key, buffer.Length(), write, metadata);
}

// The call's, and the session's where the call has none of that name.
void AddMetadata(const Flight& flight, grpc::ClientContext& context) {
  std::set<std::string_view> names;
  for (const auto& [name, value] : flight.metadata()) {
    context.AddMetadata(name, value);
    names.insert(name);
  }
  if (flight.self() == nullptr) return;
  for (const auto& [name, value] : flight.self()->metadata) {
    if (!names.contains(name)) context.AddMetadata(name, value);
  }
}

absl::StatusOr<Answer::Ref> UpstreamComputation::Result(const grpc::Status& ended) {
  absl::Status status = upstream.EndedUnary(ended, context.GetServerTrailingMetadata(), answer);
  if (!status.ok()) return status;
  const auto& kept = computation.flight().method().policy.answer_metadata;
  Metadata metadata;
  if (!kept.empty()) {
    metadata = Select(context.GetServerInitialMetadata(), kept);
    Metadata trailers = Select(context.GetServerTrailingMetadata(), kept);
    std::move(trailers.begin(), trailers.end(), std::back_inserter(metadata));
  }
  return ToAnswer(computation.flight().key(), answer, metadata);
}

}  // namespace

ComputeFn MakeUpstreamComputeFn(Upstream& upstream) {
  return [&upstream](Computation computation) {
    Flight& flight = computation.flight();
    const Time now = Clock::now();
    if (!flight.Begin(now)) return computation.Finish(absl::CancelledError());
    if (absl::Status begun = upstream.Begin(); !begun.ok()) {
      return computation.Finish(std::move(begun));
    }
    const auto call = std::make_shared<UpstreamComputation>(std::move(computation), upstream);
    AddMetadata(flight, call->context);
    call->context.set_deadline(std::chrono::system_clock::now() + (flight.deadline() - now) +
                               kAfterTimeout);
    const grpc::Slice slice(flight.request().data(), flight.request().size());
    call->request = grpc::ByteBuffer(&slice, 1);
    flight.OnCancel([call] { call->context.TryCancel(); });
    upstream.stub().UnaryCall(
        &call->context, flight.method().name, {}, &call->request, &call->answer,
        [call](const grpc::Status& status) { call->computation.Finish(call->Result(status)); });
  };
}

}  // namespace memod
