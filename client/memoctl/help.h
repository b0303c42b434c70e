// The examples under each help text, which the man page shows too.
#pragma once

namespace memod {

inline constexpr char kExamples[] = R"(
Examples:
  memoctl open memo.examples.v1.SlowAdderState delay=2s
  memoctl call memo.examples.v1.SlowAdder/Calculate '{"numbers": [1, 2]}' --session-file session
  memoctl info
  memoctl top
  memoctl sessions -o json | jq -r '.sessions[].session_id'
  memoctl --admin memod:7071 --tls-ca ca.pem --tls-cert client.pem --tls-key client-key.pem info

The server is asked at two ports: `open` and `call` use the data port (--server), all others the
admin port (--admin); `forget` and `explain` ask the data port for the types of their messages.
Exit codes: 0 fine; 1 the server said no or cannot be reached; 2 wrong usage.)";

inline constexpr char kOpenExamples[] = R"(
Examples:
  memoctl open                                   a session without an instance
  memoctl open memo.examples.v1.SlowAdderState delay=0.5s
  memoctl open memo.examples.v1.DatasetState csv=@tests/data/seattle-weather.csv
  memoctl open memo.examples.v1.SlowAdderState --state '{"delay": "2s"}'
  memoctl open memo.examples.v1.SlowAdderState --state @state.json

Send the handle as metadata `memo-session` with your calls. It is a secret: whoever has it is the
session. The session ends with this command, however that ends: at once by Ctrl-C, else when the
server's session.resume_window is over.)";

inline constexpr char kCallExamples[] = R"(
Examples:
  memoctl call memo.examples.v1.SlowAdder/Calculate '{"numbers": [1, 2]}' \
      --open memo.examples.v1.SlowAdderState delay=2s --repeat 3
  memoctl open memo.examples.v1.SlowAdderState > session &
  memoctl call memo.examples.v1.SlowAdder/Fibonacci '{"n": 90}' --session-file session
  MEMO_SESSION=... memoctl call memo.examples.v1.Dataset/Describe @request.json -o json
  memoctl call own.v1.Users/Get '{"id": 7}' -H 'x-tenant: blue' --control refresh

The answer goes to stdout, how it came to stderr. A handle is a secret, so it is not taken from the
command line, which others can see: the environment's MEMO_SESSION, or --session-file, hold it.)";

inline constexpr char kForgetExamples[] = R"(
Examples:
  memoctl forget memo.examples.v1.SlowAdder/Calculate '{"numbers": [1, 2]}' --session s1
  memoctl forget own.v1.Users/Get '{"id": 7}' -H 'x-tenant: blue')";

inline constexpr char kExplainExamples[] = R"(
Examples:
  memoctl explain memo.examples.v1.SlowAdder/Calculate '{"numbers": [1, 2]}' --session s1
  memoctl explain memo.examples.v1.SlowAdder/Calculate '{"numbers": [1, 2]}' '{"numbers": [2, 1]}'
  memoctl explain own.v1.Users/Get '{"id": 7}' -H x-tenant=blue --other-metadata x-tenant=red)";

inline constexpr char kInfoExamples[] = R"(
Examples:
  memoctl info                                   the whole server
  memoctl info --session s1
  memoctl info --method memo.examples.v1.SlowAdder/Calculate
  memoctl info -o json | jq .total.hits)";

inline constexpr char kTopExamples[] = R"(
Examples:
  memoctl top                                    q quits, s sorts sessions, + and - set the pace
  memoctl top --interval 5s
  memoctl top --once -o json | jq .total.calls_per_second)";

inline constexpr char kWatchExamples[] = R"(
Examples:
  memoctl watch info                             in place on a terminal; q quits
  memoctl watch info --session s1 --interval 500ms
  memoctl watch sessions -o json                 a line each time)";

inline constexpr char kSessionsExamples[] = R"(
Examples:
  memoctl sessions
  memoctl sessions -o json | jq '[.sessions[].total.bytes] | add')";

inline constexpr char kMethodsExamples[] = R"(
Examples:
  memoctl methods
  memoctl methods -o json | jq '.methods[] | {method, ttl: .policy.ttl}')";

inline constexpr char kUpstreamsExamples[] = R"(
Examples:
  memoctl upstreams
  memoctl upstreams -o json | jq -r '.upstreams[] | select(.connected | not).name')";

inline constexpr char kDebugExamples[] = R"(
Examples:
  memoctl debug                                  all but the descriptors are 0 with no client there
  memoctl debug -o json | jq .gauges.unsent_bytes)";

inline constexpr char kClearExamples[] = R"(
Examples:
  memoctl clear                                  everything
  memoctl clear --session s1
  memoctl clear --session s1 --method memo.examples.v1.SlowAdder/Calculate)";

inline constexpr char kCloseExamples[] = R"(
Examples:
  memoctl close s1                               its holder is told ABORTED)";

inline constexpr char kCompletionExamples[] = R"(
Examples:
  memoctl completion bash > ~/.local/share/bash-completion/completions/memoctl
  source <(memoctl completion zsh)               in ~/.zshrc, after compinit)";

}  // namespace memod
