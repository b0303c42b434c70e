// What memoctl's subcommands do.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "memo/v1/admin.pb.h"
#include "memo/v1/session.pb.h"
#include "memod/client/client.h"
#include "memod/client/memoctl/admin_port.h"
#include "memod/client/memoctl/state.h"
#include "memod/client/memoctl/transport.h"

namespace memod {

// What all subcommands heed.
struct CommandOptions {
  std::string server;      // data port
  std::string admin;       // admin port
  absl::Duration timeout;  // of each question to the server
  Transport transport = {};
  bool json = false;    // instead of tables
  int json_indent = 2;  // negative: on one line
};

// An empty session or method: all of them.
struct Scope {
  std::string session_id;
  std::string method;  // with or without its leading slash
};

// These return what is to be printed.
absl::StatusOr<std::string> ShowCacheInfo(AdminPort& admin, const CommandOptions& options,
                                          const Scope& scope);
absl::StatusOr<std::string> ListSessions(AdminPort& admin, const CommandOptions& options);
absl::StatusOr<std::string> ListMethods(AdminPort& admin, const CommandOptions& options);
absl::StatusOr<std::string> ListUpstreams(AdminPort& admin, const CommandOptions& options);
absl::StatusOr<std::string> ShowDebugState(AdminPort& admin, const CommandOptions& options);
absl::StatusOr<std::string> ClearCache(AdminPort& admin, const CommandOptions& options,
                                       const Scope& scope);
absl::StatusOr<std::string> CloseSession(AdminPort& admin, const CommandOptions& options,
                                         const std::string& session_id);

// What an error of HoldSession begins with when the session was open.
inline constexpr char kLostTheSession[] = "lost the session: ";

// Opens a session, without an instance if `state` names no type, prints its handle, and holds it
// until SIGINT or SIGTERM.
//
// Errors: Misuse: the state was typed wrongly. Any other: the session could not be opened, was
// lost, or could not be closed in order.
absl::Status HoldSession(const CommandOptions& options, const StateText& state);

// All open sessions, every page of them.
absl::StatusOr<memo::v1::ListSessionsResponse> AskForSessions(AdminPort& admin);
// "/pkg.Service/Method", as the server names it.
std::string FullName(const std::string& method);
// The data port. Errors: see Client::Connect.
absl::StatusOr<Client> ConnectTo(const CommandOptions& options);

// As JSON if the options say so, else as text.
std::string ReceiptText(const CommandOptions& options, const memo::v1::ReleaseReceipt& receipt);
// "released 3 entries, 1.2 KiB, 2.4s of computation", a line.
std::string ReceiptText(const memo::v1::ReleaseReceipt& receipt);

}  // namespace memod
