// Errors that are memod's own, told apart from the application's by a word that travels with the
// status and goes out in the trailer `memo-error`.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace memod {

inline constexpr std::string_view kMemoErrorPayload = "memod/memo-error";

namespace memo_error {
inline constexpr std::string_view kSessionNotFound = "SESSION_NOT_FOUND";
inline constexpr std::string_view kSessionRequired = "SESSION_REQUIRED";
inline constexpr std::string_view kSessionMismatch = "SESSION_MISMATCH";
inline constexpr std::string_view kSessionClosed = "SESSION_CLOSED";
inline constexpr std::string_view kNotCached = "NOT_CACHED";
inline constexpr std::string_view kLimit = "LIMIT";
inline constexpr std::string_view kRecursion = "RECURSION";
inline constexpr std::string_view kComputeTimeout = "COMPUTE_TIMEOUT";
inline constexpr std::string_view kDraining = "DRAINING";
inline constexpr std::string_view kReplaced = "REPLACED";
inline constexpr std::string_view kBadRequest = "BAD_REQUEST";
inline constexpr std::string_view kDropped = "DROPPED";
inline constexpr std::string_view kUpstream = "UPSTREAM";
}  // namespace memo_error

// `word` is one of those above.
inline absl::Status MemoError(absl::StatusCode code, std::string_view word,
                              std::string_view message) {
  absl::Status status(code, {message.data(), message.size()});
  status.SetPayload({kMemoErrorPayload.data(), kMemoErrorPayload.size()},
                    absl::Cord({word.data(), word.size()}));
  return status;
}

// A client's text within a message: in quotes, escaped, and cut to what a trailer can carry.
inline std::string Quoted(std::string_view text) {
  constexpr size_t kLongest = 100;
  const std::string shown = absl::CHexEscape({text.data(), std::min(text.size(), kLongest)});
  return absl::StrCat("\"", shown, text.size() > kLongest ? "...\"" : "\"");
}

inline absl::Status BadRequest(std::string_view message) {
  return MemoError(absl::StatusCode::kInvalidArgument, memo_error::kBadRequest, message);
}

// The session of a call that waits, or was about to, is closed.
inline absl::Status SessionClosed() {
  return MemoError(absl::StatusCode::kAborted, memo_error::kSessionClosed,
                   "the session was closed while the call waited");
}

// A handle that is malformed, unknown or closed: one and the same, so that none can be probed for.
inline absl::Status SessionNotFound() {
  return MemoError(absl::StatusCode::kNotFound, memo_error::kSessionNotFound,
                   "no such session: the handle in memo-session is unknown or closed");
}

// The same for an administrator, who names sessions by their public ids.
inline absl::Status NoSessionOfId(std::string_view id) {
  return MemoError(absl::StatusCode::kNotFound, memo_error::kSessionNotFound,
                   absl::StrCat("no open session ", Quoted(id), "; ListSessions lists their ids"));
}

}  // namespace memod
