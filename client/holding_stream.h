// A stream that holds a session: gRPC's side of a Seat. Internal to the library.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "memo/v1/session.pb.h"

namespace memod {

// Takes no thread while nothing happens. Keeps itself alive from Start until gRPC is done with it,
// so its owner can let go of it at any time without waiting. Thread-safe.
class HoldingStream {
 public:
  struct End {
    absl::Status status;  // never OK
    bool for_good;        // somebody ended the session, or took our place: no use to try again
  };
  // Called on gRPC's threads, one after the other, from Start on; dropped with the last call.
  struct Listener {
    // The session is held. At most once.
    std::function<void(const memo::v1::Opened&)> held;
    // The server is about to stop. At most once, after `held`.
    std::function<void()> draining;
    // Once, and last.
    std::function<void(const End&)> ended;
  };

  // Opens a session, by OpenSession.
  static std::shared_ptr<HoldingStream> Open(std::shared_ptr<grpc::Channel> channel,
                                             memo::v1::OpenSessionRequest request,
                                             Listener listener);
  // Takes up one that lost its stream, by HoldSession.
  static std::shared_ptr<HoldingStream> Resume(std::shared_ptr<grpc::Channel> channel,
                                               memo::v1::Opened session, const std::string& holder,
                                               Listener listener);
  virtual ~HoldingStream() = default;

  // Once.
  virtual void Start() = 0;
  // Ends it soon; also before Start.
  virtual void Cancel() = 0;
};

// For both kinds of streams.

void KeepCallbackThreads();
HoldingStream::End EndOf(const grpc::Status& status, const grpc::ClientContext& context);

}  // namespace memod
