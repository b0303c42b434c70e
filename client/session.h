// What a SessionHandle holds. Internal to the library.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <mutex>
#include <utility>

#include "memo/v1/session.pb.h"
#include "memod/client/connections.h"
#include "memod/client/holding_stream.h"
#include "memod/client/session_handle.h"

namespace memod {

// Destroying it lets go of the session.
struct SessionHandle::Session {
  Session(std::shared_ptr<const Connections> connections, std::shared_ptr<HoldingStream> stream)
      : connections(std::move(connections)), stream(std::move(stream)) {}
  ~Session() {
    stream->Release().IgnoreError();
    stream->Cancel();
  }

  const std::shared_ptr<const Connections> connections;
  const std::shared_ptr<HoldingStream> stream;
  memo::v1::Opened opened;  // constant once a SessionHandle has it

  std::once_flag channel_made;
  std::shared_ptr<grpc::Channel> channel;
};

}  // namespace memod
