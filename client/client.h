// The C++ client of memod. A session is `self` made remote: open it with state, call your own
// methods on it, and let go of it.
//
//   absl::StatusOr<memod::Client> client = memod::Client::Connect("127.0.0.1:7070");
//   if (!client.ok()) return client.status();
//
//   memo::examples::v1::SlowAdderState state;
//   state.mutable_delay()->set_seconds(2);
//   absl::StatusOr<memod::SessionHandle> session = client->OpenSession(state);
//   if (!session.ok()) return session.status();
//
//   auto adder = memo::examples::v1::SlowAdder::NewStub(session->channel());
//   grpc::ClientContext context;
//   adder->Calculate(&context, request, &response);  // 2 s; at once when asked again
//   // `session` goes out of scope: the server forgets all of it.
#pragma once

#include <google/protobuf/message.h>
#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memod/client/session_handle.h"

namespace memod {

struct ClientOptions {
  std::shared_ptr<grpc::ChannelCredentials> credentials;  // null: plaintext

  // How long Connect waits for a server that neither answers nor refuses.
  std::chrono::milliseconds connect_timeout = std::chrono::seconds(5);
  // Of OpenSession, which includes building the instance, and of a SessionHandle's own calls; not
  // of calls on its channel, whose deadlines are the caller's.
  std::chrono::milliseconds call_timeout = std::chrono::seconds(30);

  // A connection that was silent for `keepalive_time` is asked whether it lives, and given up after
  // another `keepalive_timeout`: a server that vanished is noticed within their sum.
  std::chrono::milliseconds keepalive_time = std::chrono::seconds(10);
  std::chrono::milliseconds keepalive_timeout = std::chrono::seconds(3);

  // Whatever else gRPC lets one set, for both connections. The settings above win.
  grpc::ChannelArguments arguments;
};

// What a session's holder is told, on one of gRPC's threads: do not block there. One event at a
// time, possibly before OpenSession has returned. None is told, or still being told, once the
// handle was closed or destroyed; doing that from within an event is allowed.
struct SessionEvents {
  // The server is about to stop. Calls still work; open the next session elsewhere.
  std::function<void()> draining;
  // The server let go of the session, or cannot be reached any more; why. Told once, and last.
  std::function<void(const absl::Status&)> lost;
};

// Connections to one memod server: one for calls, and one of its own for the streams that hold
// sessions, so that nothing that goes wrong with a call can end a session. Thread-safe. Copies
// share the connections, which last as long as any copy or any session opened by one.
class Client {
 public:
  // `target` as gRPC takes it: "127.0.0.1:7070", "dns:///memod:7070", "unix:/run/memod.sock".
  //
  // Errors: UNAVAILABLE: nothing there that speaks gRPC; DEADLINE_EXCEEDED: no answer in time.
  static absl::StatusOr<Client> Connect(const std::string& target, ClientOptions options = {});

  // Opens a session on the hosted class that takes states of this type. An Any is sent as it is.
  // Blocks until the server has built the instance; do not call it on one of gRPC's threads.
  //
  // Errors: those of SessionService.OpenSession; DEADLINE_EXCEEDED: no answer in time.
  absl::StatusOr<SessionHandle> OpenSession(const google::protobuf::Message& state,
                                            SessionEvents events = {}) const;
  // Opens a session without an instance.
  absl::StatusOr<SessionHandle> OpenSession(SessionEvents events = {}) const;

  // For calls that need no session. Sessions' channels share its connection.
  std::shared_ptr<grpc::Channel> channel() const;

 private:
  explicit Client(std::shared_ptr<const Connections> connections);
  absl::StatusOr<SessionHandle> Open(memo::v1::OpenSessionRequest request,
                                     SessionEvents events) const;

  std::shared_ptr<const Connections> connections_;
};

}  // namespace memod
