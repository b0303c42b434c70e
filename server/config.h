// What an operator sets: defaults < TOML file < MEMOD_* environment < flags.
//
// deploy/memod.toml is the manual of the keys; config_keys.cc is the one table of them, which
// drives the TOML file, the environment, the flags and their help.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memod/cache/policy.h"
#include "memod/cache/time.h"
#include "memod/server/logging.h"

namespace memod {

// A [[method]] section: what it gives takes the place of the policy in code, what it leaves out
// does not. Whether the method exists is for the reader of this to check.
struct MethodConfig {
  std::string name;   // "/pkg.Service/Method"
  std::string where;  // the section, as in "memod.toml:12"

  // Outer nullopt: not given. Inner nullopt: unbounded, none.
  std::optional<std::optional<int64_t>> max_entries;
  std::optional<std::optional<int64_t>> max_entries_total;
  std::optional<int64_t> max_entry_bytes;
  std::optional<std::optional<Duration>> ttl;
  std::optional<std::optional<Duration>> stale_if_error;
  std::optional<Duration> compute_timeout;
  std::optional<bool> coalesce;
  // Of a hosted method the code says it: this may only agree, which its reader checks.
  std::optional<Scope> scope;
  std::optional<std::string> cache;
  std::optional<std::vector<std::string>> key_metadata;
  std::optional<KeyMode> key_mode;
  std::optional<std::vector<std::string>> key_ignore;
  std::optional<std::vector<std::string>> forward;
  std::optional<std::vector<std::string>> answer_metadata;
  std::optional<std::map<absl::StatusCode, std::optional<Duration>>> negative;
  // Of upstreams only.
  std::optional<bool> is_public;             // in server scope: its answers are everybody's to see
  std::optional<bool> pass_without_session;  // instead of being refused

  // `base` with what is given here, but its scope. A list or table that is given takes the place of
  // the whole one. Fields that are ignored, here or in `base`, make it a message key, unless
  // key_mode says otherwise; policy_check.h then finds the contradiction.
  Policy Apply(Policy base) const;
  bool operator==(const MethodConfig&) const = default;
};

// An [[upstream]] section: a gRPC service behind memod.
struct UpstreamConfig {
  std::string name;    // in messages and metrics
  std::string where;   // the section, as in "memod.toml:12"
  std::string target;  // any gRPC name: "dns:///pricing:50051", "unix:/run/pricing.sock"
  // Full names of the services that it is called for; empty: whatever nobody else serves.
  std::vector<std::string> services;
  int channels = 1;                  // connections
  std::optional<int64_t> max_calls;  // in flight to it at once; nullopt: unbounded
  // How long a connection is silent before it is pinged, and an answer may take; nullopt: it is not.
  std::optional<Duration> keepalive_time;
  Duration keepalive_timeout = std::chrono::seconds(3);
  std::optional<bool> tls;  // see uses_tls
  std::string tls_ca;       // PEM files; empty: the system's CAs, no client certificate
  std::string tls_certificate, tls_key;
  std::string tls_server_name;  // whom its certificate has to be for; empty: as in target
  int64_t max_response_bytes = int64_t{64} << 20;
  std::vector<MethodConfig> methods;  // [[upstream.method]]: those that are memoized
  std::string descriptor_set;         // a FileDescriptorSet; empty: it is asked by reflection
  // Each unary method with idempotency_level = NO_SIDE_EFFECTS is memoized, listed or not.
  bool memoize_no_side_effects = false;
  // [upstream.defaults], without a name: what goes for all that are memoized, and is in `methods`
  // already where they do not say otherwise.
  MethodConfig defaults;

  bool uses_tls() const {
    return tls.value_or(!tls_ca.empty() || !tls_certificate.empty() || !tls_server_name.empty());
  }
  bool operator==(const UpstreamConfig&) const = default;
};

// The PEM files of listeners with TLS.
struct TlsPaths {
  std::string certificate;  // and those that it was signed by, the leaf first; empty: plaintext
  std::string key;
  std::string client_ca;  // empty: no client certificate is asked for
  bool operator==(const TlsPaths&) const = default;
};

struct Config {
  struct Server {
    std::string listen = "127.0.0.1:7070";  // host:port, [ipv6]:port or unix:/path
    bool insecure_allow_remote = false;
    TlsPaths tls;
    int64_t max_request_bytes = int64_t{4} << 20;
    int64_t max_metadata_bytes = int64_t{8} << 10;
    std::optional<int64_t> max_calls = 100'000;  // nullopt: unbounded; so below
    std::optional<int64_t> max_memory = 0;       // 0: that of the cgroup, if it has any
    Duration keepalive_time = std::chrono::seconds(10);
    Duration keepalive_timeout = std::chrono::seconds(3);
    Duration write_timeout = std::chrono::seconds(30);  // 0: none
    Duration drain_timeout = std::chrono::seconds(10);
    bool operator==(const Server&) const = default;
  };
  struct Admin {
    std::string listen = "127.0.0.1:7071";  // as above
    std::string http = "127.0.0.1:7072";    // host:port or [ipv6]:port; empty: off
    bool insecure_allow_remote = false;
    TlsPaths tls;  // of both
    bool operator==(const Admin&) const = default;
  };
  struct Cache {
    std::optional<int64_t> max_bytes = int64_t{1} << 30;  // nullopt: unbounded
    bool operator==(const Cache&) const = default;
  };
  struct Session {
    int64_t max = 100'000;
    std::optional<int64_t> max_per_peer = std::nullopt;
    std::optional<int64_t> max_holders = 100;
    std::optional<int64_t> max_calls = 20'000;
    std::optional<int64_t> max_bytes = std::nullopt;
    int64_t max_state_bytes = int64_t{16} << 20;
    std::vector<std::string> metadata;  // names of what is captured at opening
    int64_t guaranteed_bytes = 0;
    Duration resume_window = Duration::zero();
    Duration heartbeat_timeout = std::chrono::seconds(15);
    Duration max_ttl = std::chrono::hours(1);
    bool operator==(const Session&) const = default;
  };
  struct Compute {
    int threads = 0;  // 0: one per core
    int queue = 1024;
    int max_depth = 1000;
    std::optional<int64_t> max_waiters = 20'000;
    bool operator==(const Compute&) const = default;
  };
  struct Pipeline {
    int64_t max_calls = 1024;
    int64_t max_unsent_bytes = int64_t{1} << 20;
    bool operator==(const Pipeline&) const = default;
  };
  struct Log {
    LogLevel level = LogLevel::info;
    LogFormat format = LogFormat::kText;
    bool operator==(const Log&) const = default;
  };

  Server server;
  Admin admin;
  Cache cache;
  Session session;
  Compute compute;
  Pipeline pipeline;
  Log log;
  std::vector<MethodConfig> methods;  // in the order of the file, no name twice
  // In the order of the file. No name and no service twice, and at most one that serves the rest.
  std::vector<UpstreamConfig> upstreams;

  // Variables that start with MEMOD_ and are not ours. Worth a warning, see LoadConfig.
  std::vector<std::string> ignored_environment;

  bool operator==(const Config&) const = default;
};

struct ConfigSources {
  std::optional<std::string> toml_file;
  std::map<std::string, std::string>
      environment;  // what does not start with MEMOD_ is not looked at
  std::vector<std::pair<std::string, std::string>> flags;  // {"server.listen", "[::1]:7070"}
};

// Every value within its bounds, and no plaintext listener beyond loopback that was not asked for.
//
// INVALID_ARGUMENT: the message has a line for each thing that is wrong, in any of the sources:
//   memod.toml:12: cache.max_bytes: got "1 gib"; want a size such as 64MiB or 1GiB, or "unbounded"
//   memod.toml:3: unknown key server.listn; did you mean server.listen?
//   MEMOD_SESSION_MAX: got "0"; want an integer from 1 to 10000000
//   --log.level: got "loud"; want one of trace, debug, info, warn, error, off
//
// Kubernetes sets MEMOD_PORT, MEMOD_SERVICE_HOST and the like in every pod beside a service called
// memod, so only names that start like one of our sections (MEMOD_SERVER_, ...) have to be keys;
// the others are ignored.
absl::StatusOr<Config> LoadConfig(const ConfigSources& sources);

// Those variables of this process that start with MEMOD_.
std::map<std::string, std::string> MemodEnvironment();

// A key that can be a flag: all of them but those of [[method]] and [[upstream]].
struct ConfigKey {
  std::string name;         // "server.listen"
  std::string environment;  // "MEMOD_SERVER_LISTEN"
  std::string help;         // what it is, what is allowed, and the default
};
std::vector<ConfigKey> ConfigKeys();

}  // namespace memod
