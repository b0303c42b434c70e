// A proxied call is two reactors, one toward the caller, one toward the upstream. Which may start
// what when:
//  - toward the upstream, operations are started from the caller's reactions, so holds keep that
//    reactor from being done meanwhile: one for writing, one for reading. Each is let go once, when
//    nothing more will be started in its direction.
//  - toward the caller Finish is called in one place, when the upstream's reactor is done. So the
//    caller's is done last, and takes the whole call with it.
#include "memod/server/proxy_service.h"

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "memod/cache/memo_error.h"
#include "memod/cache/mutex.h"
#include "memod/server/grpc_metadata.h"
#include "memod/server/grpc_status.h"
#include "memod/server/unary_pass.h"
#include "memod/server/upstream.h"

namespace memod {
namespace {

using grpc::ByteBuffer;

class ProxyCall {
 public:
  ProxyCall(grpc::GenericCallbackServerContext& caller, Upstream& upstream, CallsInFlight& calls,
            Admission::Place place)
      : caller_(caller),
        upstream_(upstream),
        calls_(calls),
        place_(std::move(place)),
        downward_(*this),
        upward_(*this) {
    calls_.Enter();
  }
  ~ProxyCall() { calls_.Leave(); }

  // Deletes itself when the call is over.
  grpc::ServerGenericBidiReactor* Start() {
    CopyToUpstream(caller_, context_);
    upstream_.stub().PrepareBidiStreamingCall(&context_, caller_.method(), {}, &upward_);
    upward_.AddMultipleHolds(2);
    downward_.StartRead(&request_);
    upward_.StartCall();
    return &downward_;
  }

 private:
  struct Downward final : grpc::ServerGenericBidiReactor {
    explicit Downward(ProxyCall& call) : call(call) {}
    void OnReadDone(bool ok) override { call.Requested(ok); }
    void OnWriteDone(bool ok) override { call.Answered(ok); }
    void OnCancel() override { call.context_.TryCancel(); }
    void OnDone() override { delete &call; }
    ProxyCall& call;
  };
  struct Upward final : grpc::ClientBidiReactor<ByteBuffer, ByteBuffer> {
    explicit Upward(ProxyCall& call) : call(call) {}
    void OnReadInitialMetadataDone(bool ok) override { call.Begun(ok); }
    void OnWriteDone(bool ok) override { call.Written(ok); }
    void OnWritesDoneDone(bool) override { call.Written(false); }
    void OnReadDone(bool ok) override { call.Read(ok); }
    void OnDone(const grpc::Status& status) override { call.Ended(status); }
    ProxyCall& call;
  };

  // From the caller to the upstream.

  void Requested(bool ok) {
    // A half-close tells the upstream that all has come, so what else may have ended the reading must
    // not be taken for one. That the caller is gone, IsCancelled tells at once. That gRPC has cut it
    // off, for a message over the limit, it tells a little later: by the next read, all but always.
    if (!ok && !std::exchange(ended_, true)) return downward_.StartRead(&request_);
    if (!ok && caller_.IsCancelled()) context_.TryCancel();
    {
      MutexLock lock(mutex_);
      if (!can_write_) return;  // the upstream has said its last word
      writing_ = true;
    }
    if (ok) {
      upward_.StartWrite(&request_);
    } else {
      upward_.StartWritesDone();  // the caller's half-close, or its end
    }
  }

  void Written(bool more) {
    {
      MutexLock lock(mutex_);
      writing_ = false;
      more = more && can_write_;
      can_write_ = more;
    }
    if (more) {
      downward_.StartRead(&request_);
    } else {
      upward_.RemoveHold();
    }
  }

  void StopWriting() {
    {
      MutexLock lock(mutex_);
      // A write under way ends by itself, and lets go of the hold.
      if (!std::exchange(can_write_, false) || writing_) return;
    }
    upward_.RemoveHold();
  }

  // From the upstream to the caller.

  void Begun(bool ok) {
    if (!ok) return StopReading();  // an error and nothing else
    CopyInitialMetadata(context_, caller_);
    downward_.StartSendInitialMetadata();
    upward_.StartRead(&response_);
  }

  void Read(bool ok) {
    if (!ok) return StopReading();
    downward_.StartWrite(&response_);
  }

  void Answered(bool ok) {
    if (ok) return upward_.StartRead(&response_);
    context_.TryCancel();  // the caller is gone
    StopReading();
  }

  void StopReading() {
    StopWriting();
    upward_.RemoveHold();
  }

  void Ended(const grpc::Status& status) {
    place_ = {};
    const absl::Status ended = upstream_.Ended(status, context_.GetServerTrailingMetadata());
    if (ended.ok()) CopyTrailers(context_, caller_);
    downward_.Finish(ToGrpcStatus(ended, caller_));
  }

  grpc::GenericCallbackServerContext& caller_;
  Upstream& upstream_;
  CallsInFlight& calls_;
  Admission::Place place_;  // until it is answered
  grpc::ClientContext context_;
  ByteBuffer request_;
  bool ended_ = false;  // nothing more comes of the caller; the reads' own
  ByteBuffer response_;
  Downward downward_;
  Upward upward_;

  Mutex mutex_;
  bool can_write_ ABSL_GUARDED_BY(mutex_) = true;  // the hold for writing is there
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
};

// Says no and is gone.
class Refusal final : public grpc::ServerGenericBidiReactor {
 public:
  explicit Refusal(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerGenericBidiReactor* ProxyService::CreateReactor(
    grpc::GenericCallbackServerContext* context) {
  Upstream* upstream = upstreams_.Find(context->method());
  if (upstream == nullptr) {
    return new Refusal(grpc::Status(grpc::StatusCode::UNIMPLEMENTED,
                                    absl::StrCat("no method ", Quoted(context->method()))));
  }
  if (upstreams_.IsUnary(*upstream, context->method())) {
    return PassUnary(*upstream, calls_, admission_, *context);
  }
  auto place = AdmitPass(admission_, *context);
  if (!place.ok()) return new Refusal(ToGrpcStatus(place.status(), *context));
  const absl::Status begun = upstream->Begin();
  if (!begun.ok()) {
    *place = {};
    return new Refusal(ToGrpcStatus(begun, *context));
  }
  return (new ProxyCall(*context, *upstream, calls_, *std::move(place)))->Start();
}

}  // namespace memod
