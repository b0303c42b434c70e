#include "memod/server/config_keys.h"

#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memod/server/config_kinds.h"
#include "memod/server/config_values.h"
#include "memod/server/policy_check.h"

namespace memod {
namespace {

using namespace kind;
using std::chrono::hours;
using std::chrono::milliseconds;

Kind<std::vector<std::string>> MetadataNames(const std::string& example) {
  return ListOf("metadata name", MetadataNameFault, example);
}

Kind<std::string> PemFile() { return Text("a PEM file, or \"\" for none", IsPath); }

template <class S, class V>
Key<Config> ServerKey(std::string name, S Config::*section, V S::*member, Kind<V> kind,
                      std::string default_value, std::string meaning) {
  const auto set = [=](Config& config, const ConfigValue& value) {
    std::optional<V> read = kind.read(value);
    if (!read) return kind.Refusal(value);
    config.*section.*member = *std::move(read);
    return std::string();
  };
  return {std::move(name), kind.allowed, std::move(default_value), std::move(meaning), set};
}

// A file of a listener's TLS.
template <class S>
Key<Config> TlsKey(std::string name, S Config::*section, std::string TlsPaths::*file,
                   std::string meaning) {
  const Kind<std::string> kind = PemFile();
  const auto set = [=](Config& config, const ConfigValue& value) {
    const std::optional<std::string> read = kind.read(value);
    if (!read) return kind.Refusal(value);
    (config.*section).tls.*file = *read;
    return std::string();
  };
  return {std::move(name), kind.allowed, "", std::move(meaning), set};
}

// V is M, or what M is an optional of.
template <class T, class M, class V>
Key<T> SectionKey(std::string name, M T::*member, Kind<V> kind, std::string default_value,
                  std::string meaning) {
  const auto set = [=](T& section, const ConfigValue& value) {
    std::optional<V> read = kind.read(value);
    if (!read) return kind.Refusal(value);
    section.*member = *std::move(read);
    return std::string();
  };
  return {std::move(name), kind.allowed, std::move(default_value), std::move(meaning), set};
}

template <class M, class V>
Key<MethodConfig> MethodKey(std::string name, M MethodConfig::*member, Kind<V> kind,
                            std::string meaning) {
  return SectionKey(std::move(name), member, std::move(kind), "", std::move(meaning));
}

// An error that may be remembered, or one that may not, which is a key so as to say why.
Key<MethodConfig> NegativeKey(absl::StatusCode code, const Kind<std::optional<Duration>>& kind) {
  const std::string name = "negative." + absl::StatusCodeToString(code);
  const std::string fault = NegativeFault(code);
  const auto set = [=](MethodConfig& method, const ConfigValue& value) -> std::string {
    const std::optional<std::optional<Duration>> read = kind.read(value);
    if (!fault.empty()) return fault;
    if (!read) return kind.Refusal(value);
    if (!method.negative) method.negative.emplace();
    (*method.negative)[code] = *read;
    return "";
  };
  return {name, kind.allowed, "", "how long this error is remembered", set, !fault.empty()};
}

bool IsFileName(std::string_view text) {
  return !text.empty() && text.find('\0') == std::string_view::npos;
}

bool IsHttpAddress(std::string_view text) { return text.empty() || ParseHostPort(text); }

// gRPC and protobuf count bytes of a message in an int.
constexpr int64_t kMaxMessageBytes = int64_t{1} << 30;
constexpr int64_t kMaxCalls = 10'000'000;
constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();
// Ten years: added to any time there is, it does not overflow.
constexpr Duration kLong = hours(10 * 365 * 24);

Kind<std::string> Listen() { return Text("host:port, [ipv6]:port or unix:/path", IsListenAddress); }
Kind<std::string> Http() { return Text("host:port, [ipv6]:port or \"\" for none", IsHttpAddress); }
Kind<int64_t> MessageSize() {
  return Size("a size from 1B to 1GiB, such as 4MiB", 1, kMaxMessageBytes);
}
Kind<std::optional<int64_t>> Many() { return Or("unbounded", Integer<int64_t>(1, kMaxCalls)); }
Kind<int64_t> CacheSize() { return Size("a size such as 64MiB or 1GiB", 0, kUnlimited); }
Kind<Duration> Keepalive() {
  return Between("a duration from 1ms to 24h, such as 10s", milliseconds(1), hours(24));
}
Kind<Duration> Drain() {
  return Between("a duration from 0s to 24h, such as 10s", Duration::zero(), hours(24));
}
Kind<Duration> Lifetime() {
  return Between("a duration from 1ms to 87600h, such as 10m", milliseconds(1), kLong);
}

}  // namespace

const std::vector<Key<Config>>& ServerKeys() {
  using C = Config;
  static const auto& keys = *new std::vector<Key<Config>>{
      ServerKey("server.listen", &C::server, &C::Server::listen, Listen(), "127.0.0.1:7070",
                "where clients call"),
      ServerKey("server.insecure_allow_remote", &C::server, &C::Server::insecure_allow_remote,
                Boolean(), "false", "let server.listen be plaintext beyond loopback"),
      TlsKey("server.tls_certificate", &C::server, &TlsPaths::certificate,
             "certificate of server.listen, which takes TLS only then"),
      TlsKey("server.tls_key", &C::server, &TlsPaths::key, "private key of that certificate"),
      TlsKey("server.tls_client_ca", &C::server, &TlsPaths::client_ca,
             "CAs that clients' certificates have to come from"),
      ServerKey("server.max_request_bytes", &C::server, &C::Server::max_request_bytes,
                MessageSize(), "4MiB", "largest request of a method"),
      ServerKey("server.max_metadata_bytes", &C::server, &C::Server::max_metadata_bytes,
                Size("a size from 1KiB to 1MiB, such as 8KiB", 1 << 10, 1 << 20), "8KiB",
                "most metadata of a call: names, values and 32 bytes for each"),
      ServerKey("server.max_calls", &C::server, &C::Server::max_calls, Many(), "100000",
                "most calls in flight at once: those that wait, and those that pass"),
      ServerKey("server.max_memory", &C::server, &C::Server::max_memory,
                Or("unbounded", CacheSize()), "0",
                "memory of the process, close to which less and less is taken on; 0: the limit of "
                "its cgroup, if it has one"),
      ServerKey("server.keepalive_time", &C::server, &C::Server::keepalive_time, Keepalive(), "10s",
                "ping a client that has been silent this long"),
      ServerKey("server.keepalive_timeout", &C::server, &C::Server::keepalive_timeout, Keepalive(),
                "3s", "close the sessions of a client that leaves a ping unanswered this long"),
      ServerKey("server.write_timeout", &C::server, &C::Server::write_timeout, Drain(), "30s",
                "cut a call whose client reads nothing of it for this long; 0s: never"),
      ServerKey("server.drain_timeout", &C::server, &C::Server::drain_timeout, Drain(), "10s",
                "wait this long for running calls when stopping"),
      ServerKey("admin.listen", &C::admin, &C::Admin::listen, Listen(), "127.0.0.1:7071",
                "where administrators call, gRPC"),
      ServerKey("admin.http", &C::admin, &C::Admin::http, Http(), "127.0.0.1:7072",
                "where administrators and probes call, HTTP"),
      ServerKey("admin.insecure_allow_remote", &C::admin, &C::Admin::insecure_allow_remote,
                Boolean(), "false", "let admin.listen and admin.http be plaintext beyond loopback"),
      TlsKey("admin.tls_certificate", &C::admin, &TlsPaths::certificate,
             "certificate of admin.listen and admin.http, which take TLS only then"),
      TlsKey("admin.tls_key", &C::admin, &TlsPaths::key, "private key of that certificate"),
      TlsKey("admin.tls_client_ca", &C::admin, &TlsPaths::client_ca,
             "CAs that administrators' certificates have to come from"),
      ServerKey("cache.max_bytes", &C::cache, &C::Cache::max_bytes, Or("unbounded", CacheSize()),
                "1GiB", "bound of all entries together"),
      ServerKey("session.max", &C::session, &C::Session::max, Integer<int64_t>(1, 10'000'000),
                "100000", "most sessions open at once"),
      ServerKey("session.max_per_peer", &C::session, &C::Session::max_per_peer, Many(), "unbounded",
                "most sessions open at once that clients at one address opened"),
      ServerKey("session.max_holders", &C::session, &C::Session::max_holders, Many(), "100",
                "most streams that hold a session at once"),
      ServerKey("session.max_calls", &C::session, &C::Session::max_calls, Many(), "20000",
                "most calls of a session in flight at once"),
      ServerKey("session.max_bytes", &C::session, &C::Session::max_bytes,
                Or("unbounded", CacheSize()), "unbounded", "bound of the entries of a session"),
      ServerKey("session.max_state_bytes", &C::session, &C::Session::max_state_bytes, MessageSize(),
                "16MiB", "largest state of a session"),
      ServerKey(
          "session.metadata", &C::session, &C::Session::metadata,
          MetadataNames("[\"authorization\"]"), "",
          "metadata that is kept from a session's opening and reaches all its computations; as a "
          "flag: a,b"),
      ServerKey("session.guaranteed_bytes", &C::session, &C::Session::guaranteed_bytes, CacheSize(),
                "0",
                "a session that holds less, and less than an equal part of cache.max_bytes, loses "
                "no entry to another; 0: the least recently used go, whosever they are"),
      ServerKey("session.resume_window", &C::session, &C::Session::resume_window, Drain(), "0s",
                "how long a session that nobody holds any more waits for its client to come back"),
      ServerKey("session.heartbeat_timeout", &C::session, &C::Session::heartbeat_timeout,
                Between("a duration from 100ms to 24h, such as 15s", milliseconds(100), hours(24)),
                "15s", "end a HoldSession stream from which nothing came for this long"),
      ServerKey(
          "session.max_ttl", &C::session, &C::Session::max_ttl,
          Between("a duration from 100ms to 8760h, such as 1h", milliseconds(100), hours(8760)),
          "1h", "longest time to live of a LeaseSession"),
      ServerKey("compute.threads", &C::compute, &C::Compute::threads, Integer(0, 1024), "0",
                "threads that hosted methods run on; 0: one per core"),
      ServerKey("compute.queue", &C::compute, &C::Compute::queue, Integer(1, 1'000'000), "1024",
                "most computations waiting for a thread"),
      ServerKey("compute.max_depth", &C::compute, &C::Compute::max_depth, Integer(1, 10'000),
                "1000", "most calls nested in one another"),
      ServerKey("compute.max_waiters", &C::compute, &C::Compute::max_waiters, Many(), "20000",
                "most equal calls that wait for one computation"),
      ServerKey("pipeline.max_calls", &C::pipeline, &C::Pipeline::max_calls,
                Integer<int64_t>(1, 1'000'000), "1024",
                "most calls of a pipeline that wait for computations"),
      ServerKey("pipeline.max_unsent_bytes", &C::pipeline, &C::Pipeline::max_unsent_bytes,
                MessageSize(), "1MiB",
                "most bytes of answers that a pipeline's client has not taken"),
      ServerKey("log.level", &C::log, &C::Log::level,
                OneOf<LogLevel>({{"trace", LogLevel::trace},
                                 {"debug", LogLevel::debug},
                                 {"info", LogLevel::info},
                                 {"warn", LogLevel::warn},
                                 {"error", LogLevel::err},
                                 {"off", LogLevel::off}}),
                "info", "the least that is logged"),
      ServerKey("log.format", &C::log, &C::Log::format,
                OneOf<LogFormat>({{"text", LogFormat::kText}, {"json", LogFormat::kJson}}), "text",
                "how it is written"),
  };
  return keys;
}

const std::vector<Key<UpstreamConfig>>& UpstreamKeys() {
  using U = UpstreamConfig;
  static const auto& keys = *new std::vector<Key<UpstreamConfig>>{
      SectionKey("name", &U::name, Text("a name of printable ASCII characters", IsCacheName), "",
                 "what it is called in messages"),
      SectionKey(
          "target", &U::target,
          Text("a gRPC name, such as \"dns:///pricing:50051\" or \"unix:/run/a.sock\"", IsTarget),
          "", "where it is"),
      SectionKey("services", &U::services,
                 ListOf("service name", ServiceNameFault, "[\"pricing.v1.Pricer\"]"), "",
                 "the services that it is called for; left out: all that nobody else serves"),
      SectionKey("channels", &U::channels, Integer(1, 64), "1", "connections to it"),
      SectionKey("max_calls", &U::max_calls, Many(), "unbounded",
                 "most calls in flight to it at once"),
      SectionKey("keepalive_time", &U::keepalive_time, Or("none", Keepalive()), "none",
                 "ping a connection that has been silent this long, if a call waits on it"),
      SectionKey("keepalive_timeout", &U::keepalive_timeout, Keepalive(), "3s",
                 "a connection that leaves a ping unanswered this long is lost"),
      SectionKey("descriptor_set", &U::descriptor_set,
                 Text("a file such as \"pricing.binpb\"", IsFileName), "",
                 "what its services and messages are; left out: it is asked by reflection"),
      SectionKey("memoize_no_side_effects", &U::memoize_no_side_effects, Boolean(), "false",
                 "memoize its methods with idempotency_level = NO_SIDE_EFFECTS, listed or not"),
      SectionKey("tls", &U::tls, Boolean(), "false, but with another key of tls_...",
                 "whether it is called over TLS"),
      SectionKey("tls_ca", &U::tls_ca, PemFile(), "",
                 "CAs that its certificate has to come from; left out: the system's"),
      SectionKey("tls_certificate", &U::tls_certificate, PemFile(), "",
                 "certificate that memod shows to it"),
      SectionKey("tls_key", &U::tls_key, PemFile(), "", "private key of that certificate"),
      SectionKey("tls_server_name", &U::tls_server_name, Text("a host name", IsTarget), "",
                 "whom its certificate has to be for; left out: the host in target"),
      SectionKey("max_response_bytes", &U::max_response_bytes, MessageSize(), "64MiB",
                 "largest message taken from it"),
  };
  return keys;
}

const std::vector<Key<MethodConfig>>& MethodKeys() {
  using M = MethodConfig;
  static const auto& keys = *[] {
    auto* all = new std::vector<Key<MethodConfig>>{
        MethodKey("name", &M::name, Text("a method such as \"/pkg.Service/Method\"", IsMethodName),
                  "the method"),
        MethodKey("max_entries", &M::max_entries, Or("unbounded", Entries()),
                  "entries per session"),
        MethodKey("max_entries_total", &M::max_entries_total, Or("unbounded", Entries()),
                  "entries over all sessions"),
        MethodKey("max_entry_bytes", &M::max_entry_bytes, CacheSize(), "largest answer stored"),
        MethodKey("ttl", &M::ttl, Or("none", Lifetime()), "an entry expires after this long"),
        MethodKey("stale_if_error", &M::stale_if_error, Or("none", Lifetime()),
                  "what expired no longer ago is given where computing fails with UNAVAILABLE"),
        MethodKey("compute_timeout", &M::compute_timeout, Lifetime(),
                  "a computation that takes longer is given up"),
        MethodKey("coalesce", &M::coalesce, Boolean(), "equal calls share one computation"),
        MethodKey("scope", &M::scope,
                  OneOf<Scope>({{"session", Scope::kSession},
                                {"state", Scope::kState},
                                {"server", Scope::kServer}}),
                  "who shares the entries"),
        MethodKey("cache", &M::cache, Text("a name of printable ASCII characters", IsCacheName),
                  "methods of a session that name the same cache share its bounds"),
        MethodKey("key.metadata", &M::key_metadata, MetadataNames("[\"x-tenant\"]"),
                  "metadata that is part of the key"),
        MethodKey("key.mode", &M::key_mode,
                  OneOf<KeyMode>({{"bytes", KeyMode::kBytes}, {"message", KeyMode::kMessage}}),
                  "what of a request is part of the key"),
        MethodKey("key.ignore", &M::key_ignore,
                  ListOf("field path", FieldPathFault, "[\"options.trace_id\"]"),
                  "fields left out of the key"),
        MethodKey("forward", &M::forward, MetadataNames("[\"traceparent\"]"),
                  "metadata that reaches the computation and is not part of the key"),
        MethodKey("answer.metadata", &M::answer_metadata, MetadataNames("[\"x-price-date\"]"),
                  "metadata of the answer that is kept with it"),
        MethodKey("public", &M::is_public, Boolean(),
                  "of an upstream, in server scope: its answers are the same for everybody"),
        MethodKey("without_session", &M::pass_without_session,
                  OneOf<bool>({{"pass", true}, {"reject", false}}),
                  "of an upstream: what becomes of a call that needs a session and has none"),
    };
    for (int code = 0; code <= 16; ++code) {
      all->push_back(NegativeKey(static_cast<absl::StatusCode>(code), Or("none", Lifetime())));
    }
    return all;
  }();
  return keys;
}

}  // namespace memod
