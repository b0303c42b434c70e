#include "memod/server/config.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <limits>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "memod/server/config_keys.h"
#include "memod/tests/server/toml_file.h"

namespace memod {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

absl::StatusOr<Config> FromToml(const std::string& toml) {
  const TomlFile file(toml);
  return LoadConfig({.toml_file = file.path(), .environment = {}, .flags = {}});
}

std::string ReadDefaultFile() {
  std::ostringstream text;
  text << std::ifstream(MEMOD_SOURCE_DIR "/deploy/memod.toml").rdbuf();
  return text.str();
}

// One value, other than the default, for every key.
struct Sample {
  std::string key;
  std::string toml;
  std::string text;  // in the environment and as a flag
  std::function<void(Config&)> apply;
  std::vector<std::string> beside = {};  // keys that it is an error without
};

const std::vector<Sample>& Samples() {
  static const auto& samples = *new std::vector<Sample>{
      {"server.listen", "'unix:/run/memod.sock'", "unix:/run/memod.sock",
       [](Config& c) { c.server.listen = "unix:/run/memod.sock"; }},
      {"server.insecure_allow_remote", "true", "true",
       [](Config& c) { c.server.insecure_allow_remote = true; }},
      {"server.tls_certificate",
       "'/run/certificate.pem'",
       "/run/certificate.pem",
       [](Config& c) { c.server.tls.certificate = "/run/certificate.pem"; },
       {"server.tls_key"}},
      {"server.tls_key",
       "'/run/key.pem'",
       "/run/key.pem",
       [](Config& c) { c.server.tls.key = "/run/key.pem"; },
       {"server.tls_certificate"}},
      {"server.tls_client_ca",
       "'/run/client_ca.pem'",
       "/run/client_ca.pem",
       [](Config& c) { c.server.tls.client_ca = "/run/client_ca.pem"; },
       {"server.tls_certificate", "server.tls_key"}},
      {"server.max_request_bytes", "'64KiB'", "64KiB",
       [](Config& c) { c.server.max_request_bytes = 65536; }},
      {"server.max_metadata_bytes", "'16KiB'", "16KiB",
       [](Config& c) { c.server.max_metadata_bytes = 16384; }},
      {"server.max_calls", "'unbounded'", "unbounded",
       [](Config& c) { c.server.max_calls = std::nullopt; }},
      {"server.max_memory", "'1GiB'", "1GiB",
       [](Config& c) { c.server.max_memory = int64_t{1} << 30; }},
      {"server.keepalive_time", "'1.5s'", "1.5s",
       [](Config& c) { c.server.keepalive_time = milliseconds(1500); }},
      {"server.keepalive_timeout", "'100ms'", "100ms",
       [](Config& c) { c.server.keepalive_timeout = milliseconds(100); }},
      {"server.write_timeout", "'5s'", "5s",
       [](Config& c) { c.server.write_timeout = std::chrono::seconds(5); }},
      {"server.drain_timeout", "'0s'", "0s",
       [](Config& c) { c.server.drain_timeout = Duration::zero(); }},
      {"admin.listen", "'[::1]:0'", "[::1]:0", [](Config& c) { c.admin.listen = "[::1]:0"; }},
      {"admin.http", "''", "", [](Config& c) { c.admin.http = ""; }},
      {"admin.insecure_allow_remote", "true", "true",
       [](Config& c) { c.admin.insecure_allow_remote = true; }},
      {"admin.tls_certificate",
       "'/run/certificate.pem'",
       "/run/certificate.pem",
       [](Config& c) { c.admin.tls.certificate = "/run/certificate.pem"; },
       {"admin.tls_key"}},
      {"admin.tls_key",
       "'/run/key.pem'",
       "/run/key.pem",
       [](Config& c) { c.admin.tls.key = "/run/key.pem"; },
       {"admin.tls_certificate"}},
      {"admin.tls_client_ca",
       "'/run/client_ca.pem'",
       "/run/client_ca.pem",
       [](Config& c) { c.admin.tls.client_ca = "/run/client_ca.pem"; },
       {"admin.tls_certificate", "admin.tls_key"}},
      {"cache.max_bytes", "'unbounded'", "unbounded",
       [](Config& c) { c.cache.max_bytes = std::nullopt; }},
      {"session.max", "1_000", "1000", [](Config& c) { c.session.max = 1000; }},
      {"session.max_per_peer", "10", "10", [](Config& c) { c.session.max_per_peer = 10; }},
      {"session.max_holders", "3", "3", [](Config& c) { c.session.max_holders = 3; }},
      {"session.max_calls", "5", "5", [](Config& c) { c.session.max_calls = 5; }},
      {"session.max_bytes", "'1MiB'", "1MiB", [](Config& c) { c.session.max_bytes = 1 << 20; }},
      {"session.max_state_bytes", "4096", "4096",
       [](Config& c) { c.session.max_state_bytes = 4096; }},
      {"session.metadata", "['authorization', 'x-tenant']", "authorization,x-tenant",
       [](Config& c) {
         c.session.metadata = {"authorization", "x-tenant"};
       }},
      {"session.guaranteed_bytes", "'1MiB'", "1MiB",
       [](Config& c) { c.session.guaranteed_bytes = 1 << 20; }},
      {"session.resume_window", "'30s'", "30s",
       [](Config& c) { c.session.resume_window = std::chrono::seconds(30); }},
      {"session.heartbeat_timeout", "'2s'", "2s",
       [](Config& c) { c.session.heartbeat_timeout = std::chrono::seconds(2); }},
      {"session.max_ttl", "'5m'", "5m",
       [](Config& c) { c.session.max_ttl = std::chrono::minutes(5); }},
      {"pipeline.max_calls", "7", "7", [](Config& c) { c.pipeline.max_calls = 7; }},
      {"pipeline.max_unsent_bytes", "'2MiB'", "2MiB",
       [](Config& c) { c.pipeline.max_unsent_bytes = 2 << 20; }},
      {"compute.threads", "3", "3", [](Config& c) { c.compute.threads = 3; }},
      {"compute.queue", "7", "7", [](Config& c) { c.compute.queue = 7; }},
      {"compute.max_depth", "20", "20", [](Config& c) { c.compute.max_depth = 20; }},
      {"compute.max_waiters", "9", "9", [](Config& c) { c.compute.max_waiters = 9; }},
      {"log.level", "'warn'", "warn", [](Config& c) { c.log.level = LogLevel::warn; }},
      {"log.format", "'json'", "json", [](Config& c) { c.log.format = LogFormat::kJson; }},
  };
  return samples;
}

std::string AsToml(const std::string& key, const std::string& value) {
  const size_t dot = key.find('.');
  return absl::StrCat("[", key.substr(0, dot), "]\n", key.substr(dot + 1), " = ", value, "\n");
}

TEST(ConfigTest, NoSourceGivesDefaults) {
  const absl::StatusOr<Config> config = LoadConfig({});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(*config, Config());
}

const Sample& SampleOf(const std::string& key) {
  const auto is = [&](const Sample& sample) { return sample.key == key; };
  return *std::find_if(Samples().begin(), Samples().end(), is);
}

TEST(ConfigTest, EveryKeyCanBeSetBySourceOfEveryKind) {
  std::set<std::string> sampled;
  for (const Sample& sample : Samples()) {
    SCOPED_TRACE(sample.key);
    sampled.insert(sample.key);
    Config expected;
    sample.apply(expected);
    ASSERT_NE(expected, Config());

    const std::string variable = absl::StrCat(
        "MEMOD_", absl::AsciiStrToUpper(absl::StrReplaceAll(sample.key, {{".", "_"}})));
    const TomlFile file(AsToml(sample.key, sample.toml));
    for (ConfigSources sources :
         {ConfigSources{.toml_file = file.path(), .environment = {}, .flags = {}},
          ConfigSources{.toml_file = {}, .environment = {{variable, sample.text}}, .flags = {}},
          ConfigSources{
              .toml_file = {}, .environment = {}, .flags = {{sample.key, sample.text}}}}) {
      for (const std::string& key : sample.beside) {
        SampleOf(key).apply(expected);
        sources.flags.emplace_back(key, SampleOf(key).text);
      }
      const absl::StatusOr<Config> config = LoadConfig(sources);
      ASSERT_TRUE(config.ok()) << config.status();
      EXPECT_EQ(*config, expected);
    }
  }
  for (const ConfigKey& key : ConfigKeys()) EXPECT_TRUE(sampled.count(key.name)) << key.name;
}

TEST(ConfigTest, HelpTellsTheTrueDefaultAndWhatIsAllowed) {
  ASSERT_EQ(ConfigKeys().size(), ServerKeys().size());
  for (size_t i = 0; i < ServerKeys().size(); ++i) {
    const Key<Config>& key = ServerKeys()[i];
    Config changed;
    for (const Sample& sample : Samples()) {
      if (sample.key == key.name) sample.apply(changed);
    }
    ASSERT_EQ(key.set(changed, {key.default_value, true, ""}), "") << key.name;
    EXPECT_EQ(changed, Config()) << key.name;
    EXPECT_EQ(ConfigKeys()[i].help,
              absl::StrCat(key.meaning, ": ", key.allowed, " (default ",
                           key.default_value.empty() ? "\"\"" : key.default_value, ")"));
  }
  EXPECT_EQ(ConfigKeys()[0].environment, "MEMOD_SERVER_LISTEN");
}

TEST(ConfigTest, DefaultFileSetsEveryKeyToItsDefault) {
  const std::string text = ReadDefaultFile();
  const absl::StatusOr<Config> config = FromToml(text);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(*config, Config());

  for (const ConfigKey& key : ConfigKeys()) {
    const size_t dot = key.name.find('.');
    const size_t section = text.find("\n[" + key.name.substr(0, dot) + "]\n");
    ASSERT_NE(section, std::string::npos) << key.name;
    const size_t at = text.find("\n" + key.name.substr(dot + 1) + " = ", section);
    EXPECT_LT(at, text.find("\n[", section + 1)) << key.name;
  }
}

// With the example of a [[method]] no longer a comment.
std::string Uncommented(const std::string& text) {
  std::istringstream lines(text);
  std::string line, uncommented;
  while (std::getline(lines, line)) {
    const std::string rest = line.substr(line.starts_with("# ") ? 2 : 0);
    const size_t end = rest.find_first_not_of("abcdefghijklmnopqrstuvwxyz_.");
    const bool is_key = end != std::string::npos && rest.find(" = ") == end;
    uncommented += (rest == "[[method]]" || is_key ? rest : line) + "\n";
  }
  return uncommented;
}

TEST(ConfigTest, DefaultFileShowsEveryMethodKeyWithItsDefault) {
  const std::string text = Uncommented(ReadDefaultFile());
  const absl::StatusOr<Config> config = FromToml(text);
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->methods.size(), 1u);
  const MethodConfig& method = config->methods[0];
  EXPECT_EQ(method.name, "/memo.examples.v1.SlowAdder/Calculate");
  const Policy defaults;
  EXPECT_EQ(method.max_entries, defaults.max_entries);
  EXPECT_EQ(method.max_entries_total, std::make_optional(defaults.max_entries_total));
  EXPECT_EQ(method.max_entry_bytes, defaults.max_entry_bytes);
  EXPECT_EQ(method.ttl, std::make_optional(defaults.ttl));
  EXPECT_EQ(method.stale_if_error, std::make_optional(defaults.stale_if_error));
  EXPECT_EQ(method.compute_timeout, defaults.compute_timeout);
  EXPECT_EQ(method.coalesce, defaults.coalesce);
  EXPECT_EQ(method.scope, defaults.scope);
  EXPECT_EQ(method.cache, method.name);
  EXPECT_EQ(method.key_metadata, defaults.key_metadata);
  EXPECT_EQ(method.key_mode, defaults.key_mode);
  EXPECT_EQ(method.key_ignore, defaults.key_ignore);
  EXPECT_EQ(method.forward, defaults.forward);
  EXPECT_EQ(method.answer_metadata, defaults.answer_metadata);
  EXPECT_EQ(method.negative, defaults.negative);
  for (const Key<MethodConfig>& key : MethodKeys()) {
    if (key.name.starts_with("negative.")) continue;
    EXPECT_NE(text.find("\n" + key.name + " = "), std::string::npos) << key.name;
  }
}

TEST(ConfigTest, FlagsGoOverEnvironmentOverFileOverDefaults) {
  ConfigSources sources;
  const auto queue = [&] { return LoadConfig(sources)->compute.queue; };
  EXPECT_EQ(queue(), 1024);
  const TomlFile file("[compute]\nqueue = 2\nthreads = 5");
  sources.toml_file = file.path();
  EXPECT_EQ(queue(), 2);
  sources.environment["MEMOD_COMPUTE_QUEUE"] = "3";
  EXPECT_EQ(queue(), 3);
  sources.flags.emplace_back("compute.queue", "4");
  EXPECT_EQ(queue(), 4);
  sources.flags.emplace_back("compute.queue", "6");
  EXPECT_EQ(queue(), 6) << "the last flag counts";
  EXPECT_EQ(LoadConfig(sources)->compute.threads, 5) << "other keys keep what they have";
}

TEST(ConfigTest, SizesAreIntegersOrTexts) {
  const auto size = [](const char* value) {
    return FromToml(AsToml("cache.max_bytes", value))->cache.max_bytes;
  };
  EXPECT_EQ(size("0"), 0);
  EXPECT_EQ(size("5000"), 5000);
  EXPECT_EQ(size("'5000'"), 5000);
  EXPECT_EQ(size("'10MB'"), 10'000'000);
  EXPECT_EQ(size("9223372036854775807"), std::numeric_limits<int64_t>::max());
}

TEST(ConfigTest, BoundsAreInclusive) {
  for (const auto& [key, value] :
       std::vector<std::pair<std::string, std::string>>{{"server.max_request_bytes", "1"},
                                                        {"server.max_request_bytes", "1GiB"},
                                                        {"session.max_state_bytes", "1B"},
                                                        {"session.max_state_bytes", "1GiB"},
                                                        {"server.keepalive_time", "1ms"},
                                                        {"server.keepalive_time", "24h"},
                                                        {"server.keepalive_timeout", "1ms"},
                                                        {"server.keepalive_timeout", "24h"},
                                                        {"server.write_timeout", "0s"},
                                                        {"server.write_timeout", "24h"},
                                                        {"server.drain_timeout", "24h"},
                                                        {"server.max_metadata_bytes", "1KiB"},
                                                        {"server.max_metadata_bytes", "1MiB"},
                                                        {"server.max_calls", "10000000"},
                                                        {"session.max_per_peer", "1"},
                                                        {"session.max_holders", "1"},
                                                        {"session.max_holders", "unbounded"},
                                                        {"session.max", "1"},
                                                        {"session.max", "10000000"},
                                                        {"compute.threads", "1024"},
                                                        {"compute.queue", "1"},
                                                        {"compute.queue", "1000000"},
                                                        {"compute.max_depth", "1"},
                                                        {"compute.max_depth", "10000"},
                                                        {"pipeline.max_calls", "1"},
                                                        {"pipeline.max_calls", "1000000"},
                                                        {"log.level", "trace"},
                                                        {"log.level", "off"},
                                                        {"server.listen", "localhost:65535"},
                                                        {"admin.http", "127.0.0.1:0"}}) {
    EXPECT_EQ(ConfigError({.toml_file = {}, .environment = {}, .flags = {{key, value}}}), "OK")
        << key << "=" << value;
  }
}

// --- [[method]] ---

TEST(ConfigTest, MethodSectionOverridesOnlyWhatItGives) {
  const absl::StatusOr<Config> config = FromToml(R"(
[[method]]
name = "/a.B/C"
[[method]]
name = "/a.B/D"
max_entries = "unbounded"
max_entries_total = 500
max_entry_bytes = "1KiB"
ttl = "10m"
compute_timeout = "2s"
coalesce = false
)");
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->methods.size(), 2u);
  Policy base;
  base.max_entries = 7;
  base.ttl = hours(1);
  base.scope = Scope::kServer;

  EXPECT_EQ(config->methods[0].name, "/a.B/C");
  const Policy same = config->methods[0].Apply(base);
  EXPECT_EQ(same.max_entries, 7);
  EXPECT_EQ(same.max_entries_total, std::nullopt);
  EXPECT_EQ(same.max_entry_bytes, base.max_entry_bytes);
  EXPECT_EQ(same.ttl, hours(1));
  EXPECT_EQ(same.compute_timeout, base.compute_timeout);
  EXPECT_TRUE(same.coalesce);
  EXPECT_EQ(same.scope, Scope::kServer);

  const Policy changed = config->methods[1].Apply(base);
  EXPECT_EQ(changed.max_entries, std::nullopt);
  EXPECT_EQ(changed.max_entries_total, 500);
  EXPECT_EQ(changed.max_entry_bytes, 1024);
  EXPECT_EQ(changed.ttl, minutes(10));
  EXPECT_EQ(changed.compute_timeout, seconds(2));
  EXPECT_FALSE(changed.coalesce);
  EXPECT_EQ(changed.scope, Scope::kServer);
}

TEST(ConfigTest, MethodSectionCanTakeBoundsAway) {
  Policy base;
  base.max_entries_total = 9;
  base.ttl = hours(1);
  const absl::StatusOr<Config> config =
      FromToml("[[method]]\nname = '/a.B/C'\nmax_entries_total = 'unbounded'\nttl = 'none'\n");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->methods[0].Apply(base).max_entries_total, std::nullopt);
  EXPECT_EQ(config->methods[0].Apply(base).ttl, std::nullopt);
}

TEST(ConfigTest, NegativeNumberOfEntriesReadsAsZero) {
  const absl::StatusOr<Config> config =
      FromToml("[[method]]\nname = '/a.B/C'\nmax_entries = -5\nmax_entries_total = -1\n");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->methods[0].max_entries, std::make_optional(std::make_optional(int64_t{0})));
  EXPECT_EQ(config->methods[0].Apply({}).max_entries_total, 0);
}

TEST(ConfigTest, MethodKnowsWhereItIsFrom) {
  const TomlFile file("\n\n[[method]]\nname = '/a.B/C'\n");
  const absl::StatusOr<Config> config =
      LoadConfig({.toml_file = file.path(), .environment = {}, .flags = {}});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->methods[0].where, file.path() + ":3");
}

// --- variables that are not ours ---

TEST(ConfigTest, OtherVariablesAreIgnoredAndTold) {
  const absl::StatusOr<Config> config =
      LoadConfig({.toml_file = {},
                  .environment = {{"MEMOD_PORT", "tcp://10.0.0.1:7070"},
                                  {"MEMOD_SERVICE_HOST", "10.0.0.1"},
                                  {"MEMOD_ADMIN_PORT", "tcp://10.0.0.2:7071"},
                                  {"MEMOD_ADMIN_PORT_7071_TCP_ADDR", "10.0.0.2"},
                                  {"MEMOD_ADMIN_SERVICE_PORT", "7071"},
                                  {"MEMOD_LOG_LEVEL", "debug"},
                                  {"PATH", "/bin"},
                                  {"memod_server_listen", "x"}},
                  .flags = {}});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(
      config->ignored_environment,
      (std::vector<std::string>{"MEMOD_ADMIN_PORT", "MEMOD_ADMIN_PORT_7071_TCP_ADDR",
                                "MEMOD_ADMIN_SERVICE_PORT", "MEMOD_PORT", "MEMOD_SERVICE_HOST"}));
  EXPECT_EQ(config->log.level, LogLevel::debug);
}

TEST(ConfigTest, EnvironmentIsThatOfTheProcess) {
  ASSERT_EQ(setenv("MEMOD_LOG_LEVEL", "a=b", 1), 0);
  const auto environment = MemodEnvironment();
  unsetenv("MEMOD_LOG_LEVEL");
  ASSERT_TRUE(environment.count("MEMOD_LOG_LEVEL"));
  EXPECT_EQ(environment.at("MEMOD_LOG_LEVEL"), "a=b");
  for (const auto& [name, value] : environment) EXPECT_EQ(name.substr(0, 6), "MEMOD_");
}

}  // namespace
}  // namespace memod
