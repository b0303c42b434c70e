// What memoctl's subcommands do. Each prints its answer on stdout and returns why there is none.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "memo/v1/session.pb.h"
#include "memod/client/state.h"

namespace memod {

// What all subcommands heed.
struct CommandOptions {
  std::string server;      // data port
  std::string admin;       // admin port
  absl::Duration timeout;  // of each question to the server
  bool json = false;       // instead of tables
};

// An empty session or method: all of them.
struct Scope {
  std::string session_id;
  std::string method;  // with or without its leading slash
};

absl::Status ShowCacheInfo(const CommandOptions& options, const Scope& scope);
absl::Status ListSessions(const CommandOptions& options);
absl::Status ListMethods(const CommandOptions& options);
absl::Status ClearCache(const CommandOptions& options, const Scope& scope);
absl::Status CloseSession(const CommandOptions& options, const std::string& session_id);

// Opens a session, without an instance if `state` names no type, prints its handle, and holds it
// until SIGINT or SIGTERM.
//
// Errors: INVALID_ARGUMENT with `*misused` set: the state was typed wrongly. Any other: the session
// could not be opened, was lost, or could not be closed in order.
absl::Status HoldSession(const CommandOptions& options, const StateText& state, bool* misused);

// "released 3 entries, 1.2 KiB, 2.4s of computation", a line.
std::string ReceiptText(const memo::v1::ReleaseReceipt& receipt);

}  // namespace memod
