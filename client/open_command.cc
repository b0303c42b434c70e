#include <unistd.h>

#include <csignal>
#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memo/json.h"
#include "memod/client/client.h"
#include "memod/client/commands.h"

namespace memod {
namespace {

// What HoldSession waits for: the user's signals, and one that says that the session is lost.
sigset_t AwaitedSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) sigaddset(&signals, signal);
  return signals;
}

void PrintHandle(const CommandOptions& options, const SessionHandle& session) {
  if (options.json) {
    memo::v1::Opened opened;
    opened.set_handle(session.handle());
    opened.set_session_id(session.id());
    std::cout << ToJson(opened, 2) << std::endl;
  } else {
    std::cout << "handle   " << session.handle() << "\nsession  " << session.id() << std::endl;
  }
}

absl::StatusOr<SessionHandle> Open(const CommandOptions& options, const Client& client,
                                   const StateText& text, bool* misused) {
  SessionEvents events;
  events.draining = [] { std::cerr << "memoctl: the server is about to stop" << std::endl; };
  events.lost = [](const absl::Status&) { kill(getpid(), SIGUSR1); };
  if (text.type.empty()) return client.OpenSession(std::move(events));
  auto state = BuildState(client.channel(), text, options.timeout);
  *misused = absl::IsInvalidArgument(state.status());
  if (!state.ok()) return state.status();
  return client.OpenSession(*state, std::move(events));
}

}  // namespace

void BlockSignals() {
  const sigset_t signals = AwaitedSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

absl::Status HoldSession(const CommandOptions& options, const StateText& state, bool* misused) {
  ClientOptions client_options;
  client_options.connect_timeout = absl::ToChronoMilliseconds(options.timeout);
  client_options.call_timeout = client_options.connect_timeout;
  const auto client = Client::Connect(options.server, client_options);
  if (!client.ok()) return client.status();
  auto session = Open(options, *client, state, misused);
  if (!session.ok()) return session.status();
  PrintHandle(options, *session);

  const sigset_t signals = AwaitedSignals();
  int signal = 0;
  sigwait(&signals, &signal);
  if (absl::Status lost = session->status(); !lost.ok()) {
    return absl::Status(lost.code(),
                        absl::StrCat("lost the session: ", std::string(lost.message())));
  }
  const auto receipt = session->Close();
  if (!receipt.ok()) return receipt.status();
  std::cerr << ReceiptText(*receipt);
  return absl::OkStatus();
}

}  // namespace memod
