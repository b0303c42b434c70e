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

#include <google/protobuf/any.pb.h>
#include <google/protobuf/message.h>
#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memod/client/session_handle.h"

namespace memod {

class SharedServers;

// milliseconds::max() of a timeout is for ever.
struct ClientOptions {
  std::shared_ptr<grpc::ChannelCredentials> credentials;  // null: plaintext

  // How long Connect waits for a server that neither answers nor refuses.
  std::chrono::milliseconds connect_timeout = std::chrono::seconds(5);
  // Of OpenSession, which includes building the instance, and of a SessionHandle's own calls; not
  // of calls on its channel, whose deadlines are the caller's. Each of several servers that are asked
  // to open a session gets an equal share of what is left.
  std::chrono::milliseconds call_timeout = std::chrono::seconds(30);

  // How long a session whose connection or server is lost is reconnected, with pauses of up to 2 s,
  // before it counts as lost. 0: not at all, nor does it leave a server that is about to stop.
  std::chrono::milliseconds reconnect_timeout = std::chrono::minutes(1);

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
  // The server is about to stop. Calls still work; the session moves to another server that takes
  // it, which `reopened` tells.
  std::function<void()> draining = nullptr;
  // The session was disconnected, and is held again: all is as it was.
  std::function<void()> resumed = nullptr;
  // The session is a new one now, with the same state: another handle, nothing remembered.
  std::function<void()> reopened = nullptr;
  // The session is gone and will not be reconnected; why. Told once, and last. It was closed on the
  // server's side, cannot be opened anew, or no server was reached in time.
  std::function<void(const absl::Status&)> lost = nullptr;
};

// Connections to memod servers, two to each: one for calls, and one of its own for the streams that
// hold sessions, so that nothing that goes wrong with a call can end a session. Thread-safe. Copies
// share the connections, which last as long as any copy or any session opened by one. Where servers
// have a resume window, the last of these to go, unless within a callback of SessionEvents or of a
// Pipeline, waits for them to close what was let go of, at most 1 s: then the process may end. (A
// session that was just being opened anew may stay for the window.)
//
// A session is on one of the servers, its calls with it. Sessions begin on the servers in turn.
// Calls on SessionHandle::channel():
//   - When the server is about to stop, the session is opened on another one first. Then new calls
//     go there, and those under way end where they are: none fails.
//   - When the connection is lost, calls under way end with UNAVAILABLE, or ABORTED (memo-error:
//     SESSION_CLOSED): they may have been computed. gRPC makes those again of which it knows that
//     they never left, or were refused by a server that stops.
//   - A unary call that reached no computation is made again once the session is reconnected: one
//     that found no connection, was answered that its session is unknown (NOT_FOUND, memo-error:
//     SESSION_NOT_FOUND), as by a server that was restarted, or was still in the queue of a server
//     that stopped (UNAVAILABLE, DRAINING). It has the same metadata and deadline, and if it is over
//     when `reconnect_timeout` is, or the session is lost for good, the last answer that it got. What
//     its context says of the connection (peer, auth_context) is of the first time. Leave
//     wait_for_ready as it is: gRPC would wait for the former server. gRPC's own retries, if
//     ClientOptions::arguments configure them, make calls again that were lost on the way.
//   - Not made again: streams; calls by a grpc::ClientUnaryReactor, by a stub for other messages than
//     protobuf's, by a grpc::TemplatedGenericStub of anything but grpc::ByteBuffer, or in a program
//     without RTTI; those within another call (ClientContext::FromServerContext).
class Client {
 public:
  // `target` as gRPC takes it: "127.0.0.1:7070", "dns:///memod:7070", "unix:/run/memod.sock".
  //
  // Errors: UNAVAILABLE: nothing there that speaks gRPC; DEADLINE_EXCEEDED: no answer in time.
  static absl::StatusOr<Client> Connect(const std::string& target, ClientOptions options = {});
  // Several servers that host the same; one must be there. INVALID_ARGUMENT: none is given.
  static absl::StatusOr<Client> Connect(const std::vector<std::string>& targets,
                                        ClientOptions options = {});

  // Opens a session on the hosted class that takes states of this type. An Any is sent as it is.
  // Blocks until the server has built the instance; do not call it on one of gRPC's threads.
  //
  // Errors: those of SessionService.OpenSession; DEADLINE_EXCEEDED: no answer in time.
  absl::StatusOr<SessionHandle> OpenSession(const google::protobuf::Message& state,
                                            SessionEvents events = {}) const;
  // Opens a session without an instance.
  absl::StatusOr<SessionHandle> OpenSession(SessionEvents events = {}) const;

  // For calls that need no session, to the first server that was there. The channels of sessions
  // on it share its connection.
  std::shared_ptr<grpc::Channel> channel() const;

 private:
  Client(std::shared_ptr<const SharedServers> servers, size_t first);
  absl::StatusOr<SessionHandle> Open(std::optional<google::protobuf::Any> state,
                                     SessionEvents events) const;

  std::shared_ptr<const SharedServers> servers_;
  size_t first_;
};

}  // namespace memod
