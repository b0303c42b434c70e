// What a wrong configuration is told: the file and line, the variable or the flag; the key; what is
// allowed.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memod/server/config.h"
#include "memod/tests/server/toml_file.h"

namespace memod {
namespace {

std::string TomlError(const std::string& toml) { return ConfigError({}, toml); }
std::string VariableError(const std::string& name, const std::string& value) {
  return ConfigError({.toml_file = {}, .environment = {{name, value}}, .flags = {}});
}
std::string FlagError(const std::string& name, const std::string& value) {
  return ConfigError({.toml_file = {}, .environment = {}, .flags = {{name, value}}});
}

TEST(ConfigErrorsTest, BadValueTellsPlaceKeyValueAndWhatIsAllowed) {
  EXPECT_EQ(TomlError("# a comment\n[cache]\n\nmax_bytes = '1 gib'\n"),
            "memod.toml:4: cache.max_bytes: got \"1 gib\"; "
            "want a size such as 64MiB or 1GiB, or \"unbounded\"");
  EXPECT_EQ(VariableError("MEMOD_SESSION_MAX", "0"),
            "MEMOD_SESSION_MAX: got \"0\"; want an integer from 1 to 10000000");
  EXPECT_EQ(FlagError("log.level", "loud"),
            "--log.level: got \"loud\"; want one of trace, debug, info, warn, error, off");
}

struct Refused {
  std::string key;
  std::vector<std::string> texts;  // as flags
  std::vector<std::string> toml;
  std::string want;
};

TEST(ConfigErrorsTest, EveryKeyRefusesWhatIsNotAllowed) {
  const std::string size = "a size from 1B to 1GiB, such as 4MiB";
  const std::string keepalive = "a duration from 1ms to 24h, such as 10s";
  const std::string listen = "host:port, [ipv6]:port or unix:/path";
  const std::string pem = "a PEM file, or \"\" for none";
  const std::string many = "an integer from 1 to 10000000, or \"unbounded\"";
  const std::string unbounded_size = "a size such as 64MiB or 1GiB, or \"unbounded\"";
  const std::vector<Refused> all = {
      {"server.listen", {"", "7070", "localhost", "a:b"}, {"7070", "true", "['a:1']"}, listen},
      {"admin.listen", {"", "localhost:70700"}, {"7071", "''"}, listen},
      {"admin.http",
       {"unix:/run/memod.sock", "x"},
       {"false"},
       "host:port, [ipv6]:port or \"\" for none"},
      {"server.insecure_allow_remote", {"", "1", "yes", "True"}, {"1", "'true'"}, "true or false"},
      {"admin.insecure_allow_remote", {"on"}, {"'false'"}, "true or false"},
      {"server.tls_certificate", {}, {"7", "true"}, pem},
      {"server.tls_key", {}, {"['k.pem']"}, pem},
      {"server.tls_client_ca", {}, {"1.5"}, pem},
      {"admin.tls_certificate", {}, {"false"}, pem},
      {"admin.tls_key", {}, {"0"}, pem},
      {"admin.tls_client_ca", {}, {"[]"}, pem},
      {"server.max_request_bytes", {"", "0", "-1", "1GiB1", "1025MiB"}, {"0", "1.5", "true"}, size},
      {"session.max_state_bytes", {"0B", "2GiB"}, {"1073741825", "'big'"}, size},
      {"server.keepalive_time", {"", "10", "0s", "999us", "25h"}, {"10", "10.0"}, keepalive},
      {"server.keepalive_timeout", {"0s", "1d"}, {"3", "10:30:00"}, keepalive},
      {"server.write_timeout", {"-1s", "25h"}, {"10"}, "a duration from 0s to 24h, such as 10s"},
      {"server.drain_timeout", {"-1s", "25h"}, {"10"}, "a duration from 0s to 24h, such as 10s"},
      {"cache.max_bytes",
       {"", "none", "-1", "9223372036854775807KiB"},
       {"-1", "1e9", "{}"},
       unbounded_size},
      {"server.max_metadata_bytes",
       {"", "1023", "2MiB", "unbounded"},
       {"8", "'8'"},
       "a size from 1KiB to 1MiB, such as 8KiB"},
      {"server.max_memory", {"", "none", "-1"}, {"-1", "'half'"}, unbounded_size},
      {"server.max_calls", {"", "0", "-1"}, {"0", "'5'"}, many},
      {"session.max_per_peer", {"0", "none"}, {"10000001"}, many},
      {"session.max_holders", {"0", "none"}, {"0", "'5'"}, many},
      {"session.max_calls", {"0", "1e3"}, {"0", "1.5"}, many},
      {"session.max_bytes", {"-1", "all"}, {"-1", "1.5"}, unbounded_size},
      {"compute.max_waiters", {"0", "all"}, {"-1"}, many},
      {"session.metadata",
       {},
       {"'authorization'", "true", "{}"},
       "an array of metadata names, such as [\"authorization\"]"},
      {"session.resume_window",
       {"", "-1s", "none"},
       {"-1", "'25h'", "1.5"},
       "a duration from 0s to 24h, such as 10s"},
      {"session.heartbeat_timeout",
       {"", "0s", "25h"},
       {"-1", "'99ms'", "1.5"},
       "a duration from 100ms to 24h, such as 15s"},
      {"session.max_ttl",
       {"", "0s", "unbounded"},
       {"-1", "'8761h'", "1.5"},
       "a duration from 100ms to 8760h, such as 1h"},
      {"pipeline.max_calls",
       {"", "0", "1000001"},
       {"0", "'all'", "1.5"},
       "an integer from 1 to 1000000"},
      {"pipeline.max_unsent_bytes",
       {"", "0", "2GiB"},
       {"0", "'all'", "1.5"},
       "a size from 1B to 1GiB, such as 4MiB"},
      {"session.guaranteed_bytes",
       {"", "-1", "unbounded"},
       {"-1", "'all'", "1.5"},
       "a size such as 64MiB or 1GiB"},
      {"session.max",
       {"", "0", "10000001", "1e3", "1k"},
       {"0", "'5'", "5.0"},
       "an integer from 1 to 10000000"},
      {"compute.threads", {"-1", "1025", "all"}, {"-1", "4294967297"}, "an integer from 0 to 1024"},
      {"compute.queue", {"0", "1000001"}, {"0", "[]"}, "an integer from 1 to 1000000"},
      {"compute.max_depth", {"0", "10001"}, {"10001", "1979-05-27"}, "an integer from 1 to 10000"},
      {"log.level", {"", "INFO", "warning"}, {"3"}, "one of trace, debug, info, warn, error, off"},
      {"log.format", {"xml"}, {"'JSON'"}, "one of text, json"},
  };
  EXPECT_EQ(all.size(), ConfigKeys().size());
  for (const Refused& refused : all) {
    const std::string end = "; want " + refused.want;
    for (const std::string& text : refused.texts) {
      const std::string flag = absl::StrCat("--", refused.key, ": got \"", text, "\"", end);
      EXPECT_EQ(FlagError(refused.key, text), flag);
    }
    for (const std::string& toml : refused.toml) {
      const std::string error = TomlError(absl::StrCat("\n", refused.key, " = ", toml, "\n"));
      EXPECT_EQ(error.find(absl::StrCat("memod.toml:2: ", refused.key, ": got ")), 0u) << error;
      EXPECT_EQ(error.substr(error.size() - std::min(error.size(), end.size())), end) << error;
    }
  }
}

TEST(ConfigErrorsTest, ValueIsShownAsItsSourceWroteIt) {
  const auto shown = [](const std::string& toml) {
    const std::string error = TomlError("log.level = " + toml);
    const size_t got = error.find("got ") + 4;
    return error.substr(got, error.find("; want") - got);
  };
  EXPECT_EQ(shown("17"), "17");
  EXPECT_EQ(shown("1.5"), "1.5");
  EXPECT_EQ(shown("true"), "true");
  EXPECT_EQ(shown("1979-05-27"), "1979-05-27");
  EXPECT_EQ(shown("[1, 2]"), "an array");
  EXPECT_EQ(shown("{a = 1}"), "a table");
  EXPECT_EQ(shown("'a \"b\" \\'"), R"("a \"b\" \\")");
  EXPECT_EQ(shown("\"a\\nb\\u001b\""), R"("a\nb\033")") << "no line of its own";
}

TEST(ConfigErrorsTest, UnknownKeyTellsTheNearest) {
  EXPECT_EQ(TomlError("[server]\n\nlistn = ':1'"),
            "memod.toml:3: unknown key server.listn; did you mean server.listen?");
  EXPECT_EQ(TomlError("[[method]]\nname = '/a.B/C'\nmax_entry = 5"),
            "memod.toml:3: unknown key method.max_entry; did you mean method.max_entries?");
  EXPECT_EQ(TomlError("[sever]\nlisten = 'a:1'"),
            "memod.toml:1: unknown key sever; did you mean server?");
  EXPECT_EQ(VariableError("MEMOD_CACHE_MAXBYTES", "1"),
            "MEMOD_CACHE_MAXBYTES: unknown key; did you mean MEMOD_CACHE_MAX_BYTES?");
  EXPECT_EQ(FlagError("server.liste", "1"),
            "--server.liste: unknown key; did you mean --server.listen?");
}

TEST(ConfigErrorsTest, UnknownKeyNearNothingTellsAllThereAre) {
  EXPECT_EQ(TomlError("[admin]\nfoo = 1"),
            "memod.toml:2: unknown key admin.foo; want one of admin.listen, admin.http, "
            "admin.insecure_allow_remote, admin.tls_certificate, admin.tls_key, "
            "admin.tls_client_ca");
  EXPECT_EQ(TomlError("x = 1"),
            "memod.toml:1: unknown key x; want one of server, admin, cache, session, compute, "
            "pipeline, log, method, upstream");
  EXPECT_EQ(TomlError("[[method]]\nname = '/a.B/C'\nx = 5"),
            "memod.toml:3: unknown key method.x; want one of method.name, method.max_entries, "
            "method.max_entries_total, method.max_entry_bytes, method.ttl, method.stale_if_error, "
            "method.compute_timeout, method.coalesce, method.scope, method.cache, "
            "method.key.metadata, method.key.mode, method.key.ignore, method.forward, "
            "method.answer.metadata, method.public, method.without_session, method.negative");
  EXPECT_EQ(VariableError("MEMOD_LOG_X", "1"),
            "MEMOD_LOG_X: unknown key; want one of MEMOD_LOG_LEVEL, MEMOD_LOG_FORMAT");
  EXPECT_EQ(FlagError("q", "1").find("--q: unknown key; want one of --server.listen, "), 0u);
}

TEST(ConfigErrorsTest, UnknownKeyIsShownOnOneLine) {
  EXPECT_EQ(TomlError("[log]\n\"a\\nb\" = 1"),
            "memod.toml:2: unknown key log.a\\nb; want one of log.level, log.format");
}

TEST(ConfigErrorsTest, PortVariableThatKubernetesDidNotSetIsUnknown) {
  EXPECT_EQ(VariableError("MEMOD_ADMIN_PORT", "7071").find("MEMOD_ADMIN_PORT: unknown key"), 0u);
}

TEST(ConfigErrorsTest, MethodIsNotAFlagOrVariable) {
  EXPECT_EQ(FlagError("method.ttl", "1s").find("--method.ttl: unknown key"), 0u);
}

TEST(ConfigErrorsTest, SectionsHaveTheirForm) {
  EXPECT_EQ(TomlError("server = 5"), "memod.toml:1: server: got 5; want a section [server]");
  EXPECT_EQ(TomlError("[[cache]]\nmax_bytes = 1"),
            "memod.toml:1: cache: got an array; want a section [cache]");
  EXPECT_EQ(TomlError("\n[method]\nname = '/a.B/C'"),
            "memod.toml:2: method: got a table; want sections [[method]]");
  EXPECT_EQ(TomlError("method = ['/a.B/C']"),
            "memod.toml:1: method: got an array; want sections [[method]]");
}

TEST(ConfigErrorsTest, MethodRefusesWhatIsNotAllowed) {
  const auto error = [](const std::string& line) {
    return TomlError("[[method]]\nname = '/a.B/C'\n" + line);
  };
  const std::string entries = "an integer, or \"unbounded\"";
  const std::string lifetime = "a duration from 1ms to 87600h, such as 10m";
  EXPECT_EQ(error("max_entries = 1.5"),
            "memod.toml:3: method.max_entries: got 1.5; want " + entries);
  EXPECT_EQ(error("max_entries = '128'"),
            "memod.toml:3: method.max_entries: got \"128\"; want " + entries);
  EXPECT_EQ(error("max_entries_total = 'none'"),
            "memod.toml:3: method.max_entries_total: got \"none\"; want " + entries);
  EXPECT_EQ(error("max_entry_bytes = 'unbounded'"),
            "memod.toml:3: method.max_entry_bytes: got \"unbounded\"; "
            "want a size such as 64MiB or 1GiB");
  EXPECT_EQ(error("ttl = '0s'"),
            "memod.toml:3: method.ttl: got \"0s\"; want " + lifetime + ", or \"none\"");
  EXPECT_EQ(error("ttl = 'unbounded'"),
            "memod.toml:3: method.ttl: got \"unbounded\"; want " + lifetime + ", or \"none\"");
  EXPECT_EQ(error("compute_timeout = 'none'"),
            "memod.toml:3: method.compute_timeout: got \"none\"; want " + lifetime);
  EXPECT_EQ(error("coalesce = 'yes'"),
            "memod.toml:3: method.coalesce: got \"yes\"; want true or false");
}

TEST(ConfigErrorsTest, MethodNeedsOneNameOfItsOwn) {
  const std::string want = "want a method such as \"/pkg.Service/Method\"";
  EXPECT_EQ(TomlError("\n[[method]]\nttl = '1s'"), "memod.toml:2: method.name: missing; " + want);
  EXPECT_EQ(TomlError("[[method]]\nname = 'a.B/C'"),
            "memod.toml:2: method.name: got \"a.B/C\"; " + want);
  EXPECT_EQ(TomlError("[[method]]\nname = 5"), "memod.toml:2: method.name: got 5; " + want);
  EXPECT_EQ(TomlError("[[method]]\nname = '/a.B/C'\n\n[[method]]\nname = '/a.B/C'"),
            "memod.toml:4: method.name: got \"/a.B/C\" again; want one section for a method, and "
            "memod.toml:1 is this one's");
}

TEST(ConfigErrorsTest, PlaintextBeyondLoopbackIsRefusedWithTheRemedy) {
  EXPECT_EQ(TomlError("[server]\nlisten = '0.0.0.0:7070'"),
            "memod.toml:2: server.listen: got \"0.0.0.0:7070\", plaintext beyond loopback; want a "
            "loopback address, server.tls_certificate and server.tls_key, or "
            "server.insecure_allow_remote = true where everyone on the network may call");
  EXPECT_EQ(VariableError("MEMOD_ADMIN_LISTEN", "[::]:1")
                .find("MEMOD_ADMIN_LISTEN: got \"[::]:1\", plaintext beyond loopback; want a "
                      "loopback address, admin.tls_certificate and admin.tls_key, or "
                      "admin.insecure_allow_remote = true"),
            0u);
  EXPECT_EQ(FlagError("admin.http", "example.org:1").find("--admin.http: got "), 0u);
}

TEST(ConfigErrorsTest, PlaintextBeyondLoopbackIsAllowedSectionBySection) {
  ConfigSources sources;
  sources.environment["MEMOD_SERVER_INSECURE_ALLOW_REMOTE"] = "true";
  sources.flags = {{"server.listen", "0.0.0.0:7070"}};
  EXPECT_EQ(ConfigError(sources), "OK");
  sources.flags.emplace_back("admin.http", "0.0.0.0:7072");
  EXPECT_EQ(ConfigError(sources).find("--admin.http: got "), 0u);
  sources.flags.emplace_back("admin.insecure_allow_remote", "true");
  EXPECT_EQ(ConfigError(sources), "OK");
  sources.flags.emplace_back("admin.insecure_allow_remote", "yes");
  EXPECT_EQ(ConfigError(sources), "--admin.insecure_allow_remote: got \"yes\"; want true or false");
}

TEST(ConfigErrorsTest, ListenerWithTlsMayBeBeyondLoopback) {
  const std::string tls = "tls_certificate = 'a.pem'\ntls_key = 'b.pem'\n";
  EXPECT_EQ(TomlError("[server]\nlisten = '0.0.0.0:1'\n" + tls), "OK");
  EXPECT_EQ(TomlError("[admin]\nlisten = '0.0.0.0:1'\nhttp = '0.0.0.0:2'\n" + tls), "OK");
  EXPECT_EQ(TomlError("[admin]\nlisten = '0.0.0.0:1'\n[server]\n" + tls)
                .find("memod.toml:2: admin.listen: got "),
            0u);
}

TEST(ConfigErrorsTest, HalfOfAKeyPairNamesBothKeys) {
  EXPECT_EQ(TomlError("[server]\nlisten = '0.0.0.0:1'\ntls_key = '/b.pem'"),
            "memod.toml:3: server.tls_key: got \"/b.pem\" without server.tls_certificate; want "
            "server.tls_certificate and server.tls_key with it\n"
            "memod.toml:2: server.listen: got \"0.0.0.0:1\", plaintext beyond loopback; want a "
            "loopback address, server.tls_certificate and server.tls_key, or "
            "server.insecure_allow_remote = true where everyone on the network may call");
  EXPECT_EQ(VariableError("MEMOD_ADMIN_TLS_CERTIFICATE", "a.pem"),
            "MEMOD_ADMIN_TLS_CERTIFICATE: got \"a.pem\" without admin.tls_key; want "
            "admin.tls_certificate and admin.tls_key with it");
  EXPECT_EQ(FlagError("admin.tls_client_ca", "ca.pem"),
            "--admin.tls_client_ca: got \"ca.pem\" without admin.tls_certificate; want "
            "admin.tls_certificate and admin.tls_key with it");
  EXPECT_EQ(FlagError("server.tls_key", ""), "OK");
  EXPECT_EQ(TomlError("server.tls_certificate = 'a.pem'\nserver.tls_key = 7"),
            "memod.toml:2: server.tls_key: got 7; want a PEM file, or \"\" for none");
}

TEST(ConfigErrorsTest, TlsOfAnUpstreamIsWholeAndDoesNotContradictItself) {
  const std::string upstream = "[[upstream]]\nname = 'a'\ntarget = 'a:1'\n";
  EXPECT_EQ(TomlError(upstream + "tls = true"), "OK");
  EXPECT_EQ(TomlError(upstream + "tls = false"), "OK");
  EXPECT_EQ(TomlError(upstream + "tls_certificate = 'c.pem'\ntls_key = 'k.pem'"), "OK");
  EXPECT_EQ(TomlError(upstream + "tls_certificate = 'c.pem'"),
            "memod.toml:1: upstream.tls_certificate: got \"c.pem\" without upstream.tls_key; want "
            "both of them, or none");
  EXPECT_EQ(TomlError(upstream + "tls_key = 'k.pem'"),
            "memod.toml:1: upstream.tls_key: got \"k.pem\" without upstream.tls_certificate; want "
            "both of them, or none");
  EXPECT_EQ(
      TomlError(upstream + "tls = false\ntls_ca = 'ca.pem'"),
      "memod.toml:1: upstream.tls: got false beside other keys of tls_...; want true, or none "
      "of those");
  EXPECT_EQ(TomlError(upstream + "tls_server_name = ''"),
            "memod.toml:4: upstream.tls_server_name: got \"\"; want a host name");
}

TEST(ConfigErrorsTest, RemedyThatIsMisspeltIsTheOnlyError) {
  EXPECT_EQ(ConfigError({}, "server.listen = '0.0.0.0:1'\nserver.insecure_allow_remote = 1"),
            "memod.toml:2: server.insecure_allow_remote: got 1; want true or false");
}

TEST(ConfigErrorsTest, AllErrorsOfAllSourcesAreTold) {
  EXPECT_EQ(ConfigError({.toml_file = {},
                         .environment = {{"MEMOD_LOG_FORMAT", "xml"}},
                         .flags = {{"session.max", "-1"}, {"server.listen", "0.0.0.0:1"}}},
                        "[log]\ncolour = 'red'\n\n[compute]\nthreads = 'many'\nqueue = 0\n"),
            "memod.toml:2: unknown key log.colour; want one of log.level, log.format\n"
            "memod.toml:5: compute.threads: got \"many\"; want an integer from 0 to 1024\n"
            "memod.toml:6: compute.queue: got 0; want an integer from 1 to 1000000\n"
            "MEMOD_LOG_FORMAT: got \"xml\"; want one of text, json\n"
            "--session.max: got \"-1\"; want an integer from 1 to 10000000\n"
            "--server.listen: got \"0.0.0.0:1\", plaintext beyond loopback; want a loopback "
            "address, server.tls_certificate and server.tls_key, or "
            "server.insecure_allow_remote = true where everyone on the network may call");
}

TEST(ConfigErrorsTest, BadValueIsToldThoughAnotherSourceOverridesIt) {
  EXPECT_NE(ConfigError({.toml_file = {}, .environment = {}, .flags = {{"log.level", "info"}}},
                        "log.level = 'loud'"),
            "OK");
}

TEST(ConfigErrorsTest, WhatIsNotTomlIsToldWithLineAndColumn) {
  EXPECT_EQ(TomlError("[log]\nlevel = \n").find("memod.toml:2: not TOML, at column 9: "), 0u);
  for (const char* bad : {"[log", "[log]\nlevel = 'a'\nlevel = 'b'", "[log]\n[log]", "= 1", "a = ?",
                          "a = 99999999999999999999", "a = '\xff'", "a = \"\\q\"", "a = 'x\ny'"}) {
    const std::string error = TomlError(bad);
    EXPECT_EQ(error.find("memod.toml:"), 0u) << error;
    EXPECT_NE(error.find(": not TOML, at column "), std::string::npos) << error;
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
  }
}

TEST(ConfigErrorsTest, FileThatCannotBeReadIsTold) {
  EXPECT_EQ(ConfigError({.toml_file = "/nowhere/memod.toml", .environment = {}, .flags = {}}),
            "failed to read configuration from /nowhere/memod.toml: No such file or directory");
  EXPECT_EQ(ConfigError({.toml_file = "/", .environment = {}, .flags = {}}),
            "failed to read configuration from /: Is a directory");
}

}  // namespace
}  // namespace memod
