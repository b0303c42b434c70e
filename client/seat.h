// Where a session is: on one server, under one handle. Internal to the library.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "memo/v1/session.pb.h"
#include "memod/client/connections.h"
#include "memod/client/holding_stream.h"
#include "memod/client/servers.h"

namespace memod {

// Lets go of the session when destroyed: when neither the client keeps it any more, nor a call that
// was made on its channel. Thread-safe.
class Seat : public std::enable_shared_from_this<Seat> {
 public:
  Seat(std::shared_ptr<const Servers> servers, size_t place, memo::v1::Opened opened,
       std::shared_ptr<HoldingStream> stream)
      : place(place),
        opened(std::move(opened)),
        servers_(std::move(servers)),
        stream_(std::move(stream)) {}
  ~Seat() { LetGo(); }

  // A new channel for calls on the session, which keeps the seat.
  std::shared_ptr<grpc::Channel> NewChannel(Connections::Interceptor interceptor) const {
    return server().CallsOf(opened.handle(), shared_from_this(), std::move(interceptor));
  }

  // The session has a new stream, the former one being lost.
  void HoldBy(std::shared_ptr<HoldingStream> stream) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    stream_ = std::move(stream);
  }

  // The first of several calls counts; none waits for the server.
  void LetGo() ABSL_LOCKS_EXCLUDED(mutex_) {
    std::shared_ptr<HoldingStream> stream;
    {
      absl::MutexLock lock(&mutex_);
      stream = std::move(stream_);
    }
    if (stream == nullptr) return;
    // Else the end of the stream is taken for its loss.
    if (resume_window() > absl::ZeroDuration()) server().CloseSoon(opened.handle());
    stream->Cancel();
  }

  // How long the server keeps the session when its stream is lost.
  absl::Duration resume_window() const {
    return absl::Seconds(opened.resume_window().seconds()) +
           absl::Nanoseconds(opened.resume_window().nanos());
  }
  const Connections& server() const { return servers_->at(place); }

  const size_t place;  // of the server, among `servers`
  const memo::v1::Opened opened;

 private:
  const std::shared_ptr<const Servers> servers_;

  absl::Mutex mutex_;
  std::shared_ptr<HoldingStream> stream_ ABSL_GUARDED_BY(mutex_);  // null once let go of
};

}  // namespace memod
