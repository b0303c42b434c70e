// One HoldSession stream: holds a session that is open already. A lease on itself ends it when the
// client's heartbeats stop.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "memo/v1/session.pb.h"
#include "memod/cache/mutex.h"
#include "memod/server/holder_stream.h"

namespace memod {

class SessionService;

// It decodes what it reads: gRPC would take what does not decode for a half-close.
class HoldStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                         public HolderStream,
                         public Lease {
 public:
  // `service` holds a reference to the stream until gRPC is done with it.
  HoldStream(const Environment& environment, SessionService& service,
             grpc::CallbackServerContext& context)
      : HolderStream(environment, context, Handle::kKnown), service_(service) {}

  // Holds `session` once the client has said its name.
  void Start(const std::shared_ptr<Session>& session);

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override { Told(ok); }
  void OnCancel() override;
  void OnDone() override;
  void OnLapsed() override;

  void Tell(Word word, const Session& session) override;
  void Leave(const grpc::Status& status) override ABSL_LOCKS_EXCLUDED(expected_mutex_);

  // INVALID_ARGUMENT: it is not what is due.
  absl::Status Take(const memo::v1::HoldSessionRequest& message);
  // The session that the client is to say `hold` of; null: it has said so, or the stream has ended.
  std::shared_ptr<Session> TakeExpected() ABSL_LOCKS_EXCLUDED(expected_mutex_);

  SessionService& service_;
  bool said_hold_ = false;     // the reads' own
  grpc::ByteBuffer request_;   // of the read under way
  grpc::ByteBuffer response_;  // of the write under way

  Mutex expected_mutex_;
  std::shared_ptr<Session> expected_ ABSL_GUARDED_BY(expected_mutex_);  // by ExpectHolder
};

}  // namespace memod
