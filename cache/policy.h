// How a method's answers are remembered: what a user sets, in code or in TOML.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "memod/cache/time.h"

namespace memod {

// Who shares the entries of a method.
enum class Scope {
  kSession,  // one cache per session: the method's answers depend on the session's state
  kState,    // sessions opened with equal state share one cache and one instance
  kServer,   // one cache for everybody, as functools.lru_cache on a function
};

// As a configuration says it.
inline const char* ScopeName(Scope scope) {
  switch (scope) {
    case Scope::kSession:
      return "session";
    case Scope::kState:
      return "state";
    case Scope::kServer:
      return "server";
  }
  return "";
}

// What of a request is part of the key.
enum class KeyMode {
  kBytes,    // its bytes as they came
  kMessage,  // what they decode to: one key for equal messages in different bytes
};

struct Policy {
  // Entries per session, or in server scope of the server's one cache. 0: every call computes by
  // itself and nothing is stored; negative is 0; nullopt: unbounded.
  std::optional<int64_t> max_entries = 128;
  // Entries over all sessions; nullopt: unbounded. 0 and negative as above.
  std::optional<int64_t> max_entries_total = std::nullopt;
  // A larger answer is delivered, not stored, and counted as too_large.
  int64_t max_entry_bytes = 1 << 20;
  // An entry expires this long after it was computed; nullopt: never.
  std::optional<Duration> ttl = std::nullopt;
  // When a computation fails with UNAVAILABLE, an answer that expired no longer ago than this is
  // given instead. nullopt: never. Needs a ttl.
  std::optional<Duration> stale_if_error = std::nullopt;
  // A computation that takes longer, its wait for a thread included, is given up, whoever waits.
  Duration compute_timeout = std::chrono::minutes(5);
  // Equal calls share one computation.
  bool coalesce = true;
  // Not a user's choice for a hosted class: a function registered without an instance has server
  // scope, a method with one has session scope, or state scope where its class opts in.
  Scope scope = Scope::kSession;
  // Methods of a session that name the same cache share its bounds (max_entries and
  // max_entries_total), which they therefore agree in. Empty: the method's name.
  std::string cache = {};

  // Names are in lower case, and none of memod's own or gRPC's.
  std::vector<std::string> key_metadata = {};  // part of the key; reaches the computation
  std::vector<std::string> forward = {};       // reaches it, promised to change no answer
  std::vector<std::string> answer_metadata =
      {};  // of the answer: kept with it; the rest is dropped

  KeyMode key_mode = KeyMode::kBytes;
  // Fields left out of the key, as in "options.trace_id"; through repeated and map fields a path
  // goes to every element. Makes key_mode kMessage.
  std::vector<std::string> key_ignore = {};

  // Errors that are remembered, each for its own time; nullopt: as long as there is room. Never
  // CANCELLED, DEADLINE_EXCEEDED, UNAVAILABLE.
  std::map<absl::StatusCode, std::optional<Duration>> negative = {};

  // Whether anything is ever stored.
  bool stores() const { return max_entries.value_or(1) > 0 && max_entries_total.value_or(1) > 0; }
};

}  // namespace memod
