#include <sys/eventfd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memo/json.h"
#include "memod/client/client.h"
#include "memod/client/memoctl/commands.h"

namespace memod {
namespace {

// What ends the holding of a session: the user's signal, or its loss.
class Wake {
 public:
  // Safe in a signal handler.
  static void Up() { eventfd_write(fd_, 1); }
  static void Wait() {
    eventfd_t count;
    while (eventfd_read(fd_, &count) != 0 && errno == EINTR) continue;
  }
  // Until this SIGINT and SIGTERM end the process at once, and a second of its kind does again.
  static void UpOnSignals() {
    struct sigaction action = {};
    action.sa_handler = [](int) { Up(); };
    action.sa_flags = SA_RESETHAND;
    for (const int signal : {SIGINT, SIGTERM}) sigaction(signal, &action, nullptr);
  }

 private:
  static inline const int fd_ = eventfd(0, EFD_CLOEXEC);
};

void PrintHandle(const CommandOptions& options, const SessionHandle& session) {
  if (options.json) {
    memo::v1::Opened opened;
    opened.set_handle(session.handle());
    opened.set_session_id(session.id());
    std::cout << ToJson(opened, options.json_indent) << std::endl;
  } else {
    std::cout << "handle   " << session.handle() << "\nsession  " << session.id() << std::endl;
  }
}

absl::StatusOr<SessionHandle> Open(const CommandOptions& options, const Client& client,
                                   const StateText& text) {
  SessionEvents events;
  events.draining = [] { std::cerr << "memoctl: the server is about to stop" << std::endl; };
  events.lost = [](const absl::Status&) { Wake::Up(); };
  if (text.type.empty()) return client.OpenSession(std::move(events));
  ServerTypes types(client.channel(), options.timeout);
  auto state = BuildState(types, text);
  if (!state.ok()) return state.status();
  return client.OpenSession(*state, std::move(events));
}

}  // namespace

absl::StatusOr<Client> ConnectTo(const CommandOptions& options) {
  ClientOptions client_options;
  client_options.credentials = options.transport.credentials;
  client_options.arguments = options.transport.arguments;
  client_options.connect_timeout = absl::ToChronoMilliseconds(options.timeout);
  client_options.call_timeout = client_options.connect_timeout;
  // The handle that was printed is not to become another.
  client_options.reconnect_timeout = std::chrono::milliseconds::zero();
  return Client::Connect(options.server, std::move(client_options));
}

absl::Status HoldSession(const CommandOptions& options, const StateText& state) {
  const auto client = ConnectTo(options);
  if (!client.ok()) return client.status();
  auto session = Open(options, *client, state);
  if (!session.ok()) return session.status();
  Wake::UpOnSignals();
  PrintHandle(options, *session);

  Wake::Wait();
  if (absl::Status lost = session->status(); !lost.ok()) {
    return absl::Status(lost.code(), absl::StrCat(kLostTheSession, std::string(lost.message())));
  }
  const auto receipt = session->Close();
  if (!receipt.ok()) return receipt.status();
  std::cerr << ReceiptText(*receipt);
  return absl::OkStatus();
}

}  // namespace memod
