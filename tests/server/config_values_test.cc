#include "memod/server/config_values.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace memod {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

TEST(ParseInteger, TakesDecimalDigitsOnly) {
  EXPECT_EQ(ParseInteger("0"), 0);
  EXPECT_EQ(ParseInteger("-17"), -17);
  EXPECT_EQ(ParseInteger("9223372036854775807"), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(ParseInteger("-9223372036854775808"), std::numeric_limits<int64_t>::min());
  for (const char* bad : {"", "-", "+1", " 1", "1 ", "1.0", "0x10", "1e3", "1_000", "ten",
                          "9223372036854775808", "-9223372036854775809"}) {
    EXPECT_EQ(ParseInteger(bad), std::nullopt) << bad;
  }
}

TEST(ParseSize, KnowsBinaryAndDecimalUnits) {
  EXPECT_EQ(ParseSize("0"), 0);
  EXPECT_EQ(ParseSize("4096"), 4096);
  EXPECT_EQ(ParseSize("1B"), 1);
  EXPECT_EQ(ParseSize("64KiB"), 64 * 1024);
  EXPECT_EQ(ParseSize("1MiB"), 1024 * 1024);
  EXPECT_EQ(ParseSize("3GiB"), 3 * (int64_t{1} << 30));
  EXPECT_EQ(ParseSize("2TiB"), int64_t{2} << 40);
  EXPECT_EQ(ParseSize("5kB"), 5'000);
  EXPECT_EQ(ParseSize("5KB"), 5'000);
  EXPECT_EQ(ParseSize("10MB"), 10'000'000);
  EXPECT_EQ(ParseSize("1GB"), 1'000'000'000);
  EXPECT_EQ(ParseSize("1TB"), 1'000'000'000'000);
}

TEST(ParseSize, RefusesWhatIsNoSize) {
  for (const char* bad : {"", "MiB", "1 gib", "1 GiB", "1gib", "1G", "1.5GiB", "-1", "-1MiB", "+1B",
                          "1MiBB", "1MiB ", "0x10", "unbounded"}) {
    EXPECT_EQ(ParseSize(bad), std::nullopt) << bad;
  }
}

TEST(ParseSize, RefusesWhatOverflows) {
  EXPECT_EQ(ParseSize("9223372036854775807B"), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(ParseSize("8388607TiB"), int64_t{8388607} << 40);
  for (const char* bad :
       {"9223372036854775808", "8388608TiB", "9007199254740992KiB", "99999999999999999999999GiB"}) {
    EXPECT_EQ(ParseSize(bad), std::nullopt) << bad;
  }
}

TEST(ParseDuration, KnowsUnitsAndDecimals) {
  EXPECT_EQ(ParseDuration("0s"), Duration::zero());
  EXPECT_EQ(ParseDuration("7ns"), nanoseconds(7));
  EXPECT_EQ(ParseDuration("20us"), std::chrono::microseconds(20));
  EXPECT_EQ(ParseDuration("100ms"), milliseconds(100));
  EXPECT_EQ(ParseDuration("10s"), std::chrono::seconds(10));
  EXPECT_EQ(ParseDuration("5m"), std::chrono::minutes(5));
  EXPECT_EQ(ParseDuration("1h"), hours(1));
  EXPECT_EQ(ParseDuration("1.5s"), milliseconds(1500));
  EXPECT_EQ(ParseDuration("0.25h"), std::chrono::minutes(15));
  EXPECT_EQ(ParseDuration("2.000000001s"), nanoseconds(2'000'000'001));
  EXPECT_EQ(ParseDuration("0.9999999999999h"), nanoseconds(3'599'999'999'999));
  EXPECT_EQ(ParseDuration("1.99999999999999999999999999999999999999999ns"), nanoseconds(1));
}

TEST(ParseDuration, RefusesWhatIsNoDuration) {
  for (const char* bad : {"", "s", "10", "-1s", "+1s", ".5s", "1.s", "1..5s", "1.5.2s", "1,5s",
                          "10 s", "10s ", "10S", "1d", "1m30s", "1e3s", "none"}) {
    EXPECT_EQ(ParseDuration(bad), std::nullopt) << bad;
  }
}

TEST(ParseDuration, RefusesWhatOverflows) {
  EXPECT_EQ(ParseDuration("9223372036854775807ns"), Duration::max());
  EXPECT_EQ(ParseDuration("2562047h"), hours(2'562'047));
  for (const char* bad :
       {"9223372036854775808ns", "2562048h", "2562047.99h", "99999999999999999999999s"}) {
    EXPECT_EQ(ParseDuration(bad), std::nullopt) << bad;
  }
}

TEST(ParseHostPort, SplitsHostAndPort) {
  const auto split = [](const char* text) {
    const std::optional<HostPort> parsed = ParseHostPort(text);
    return parsed ? parsed->host + " " + std::to_string(parsed->port) : "refused";
  };
  EXPECT_EQ(split("127.0.0.1:7070"), "127.0.0.1 7070");
  EXPECT_EQ(split("localhost:0"), "localhost 0");
  EXPECT_EQ(split("my-host.example_1.org:65535"), "my-host.example_1.org 65535");
  EXPECT_EQ(split("[::1]:80"), "::1 80");
  EXPECT_EQ(split("[fe80::1]:80"), "fe80::1 80");
  for (const char* bad : {"",
                          ":",
                          ":80",
                          "localhost",
                          "localhost:",
                          "localhost:http",
                          "localhost:65536",
                          "localhost:-1",
                          "localhost:-0",
                          "localhost: 80",
                          "::1:80",
                          "[]:80",
                          "[::1]",
                          "[::1:80",
                          "[::g]:80",
                          "[127.0.0.1]:80",
                          "300.0.0.1:80",
                          "127.1:80",
                          "*:80",
                          "a b:80",
                          "a/b:80"}) {
    EXPECT_EQ(split(bad), "refused") << bad;
  }
}

TEST(IsListenAddress, TakesUnixSocketsToo) {
  EXPECT_TRUE(IsListenAddress("127.0.0.1:7070"));
  EXPECT_TRUE(IsListenAddress("unix:/run/memod.sock"));
  EXPECT_TRUE(IsListenAddress("unix:/" + std::string(106, 'x')));
  EXPECT_FALSE(IsListenAddress("unix:/" + std::string(107, 'x')));
  EXPECT_FALSE(IsListenAddress("unix:memod.sock"));
  EXPECT_FALSE(IsListenAddress("unix:"));
  EXPECT_FALSE(IsListenAddress(std::string("unix:/a\0b", 9)));
  EXPECT_FALSE(IsListenAddress(""));
}

TEST(IsLoopback, IsWhatOnlyThisMachineReaches) {
  for (const char* local : {"127.0.0.1:1", "127.255.1.2:1", "[::1]:1", "[0:0::1]:1", "localhost:1",
                            "LOCALHOST:1", "unix:/run/memod.sock"}) {
    EXPECT_TRUE(IsLoopback(local)) << local;
  }
  for (const char* remote : {"0.0.0.0:1", "[::]:1", "128.0.0.1:1", "10.0.0.1:1", "[fe80::1]:1",
                             "example.org:1", "localhost.example.org:1", "127.example.org:1"}) {
    EXPECT_FALSE(IsLoopback(remote)) << remote;
  }
}

TEST(IsMethodName, IsServiceAndMethod) {
  EXPECT_TRUE(IsMethodName("/pkg.v1.Service/Method"));
  EXPECT_TRUE(IsMethodName("/Service/Method_2"));
  for (const char* bad : {"", "/", "//", "/Service", "/Service/", "//Method", "Service/Method",
                          "pkg.Service.Method", "/a/b/c", "/pkg.Service/Me.thod", "/s /m"}) {
    EXPECT_FALSE(IsMethodName(bad)) << bad;
  }
}

TEST(IsCacheName, IsPrintableAscii) {
  EXPECT_TRUE(IsCacheName("prices"));
  EXPECT_TRUE(IsCacheName("/pkg.Service/Method"));
  EXPECT_TRUE(IsCacheName("a b~"));
  for (const std::string bad : {"", "a\nb", "a\x7f", "\xc3\xa4"})
    EXPECT_FALSE(IsCacheName(bad)) << bad;
  EXPECT_FALSE(IsCacheName(std::string("a\0b", 3)));
}

TEST(MetadataNameFault, TakesWhatGrpcTakes) {
  for (const char* name : {"a", "authorization", "x-tenant", "x_1.b", "trace-bin", "hosts", "tea",
                           "memo", "grpc", "memory-limit", "x-memo-session"}) {
    EXPECT_EQ(MetadataNameFault(name), "") << name;
  }
}

TEST(MetadataNameFault, TellsOfOtherCharacters) {
  const std::string want = "want a metadata name: lower case letters, digits, \"-\", \"_\", \".\"";
  for (const char* name : {"", "a b", "a:", "a,b", "\xc3\xa4", "a\n", "A b"}) {
    EXPECT_EQ(MetadataNameFault(name), want) << name;
  }
}

TEST(MetadataNameFault, TellsOfUpperCase) {
  EXPECT_EQ(MetadataNameFault("X-Tenant"), "want lower case, \"x-tenant\"");
}

TEST(MetadataNameFault, RefusesWhatIsMemodsOrGrpcs) {
  for (const char* name : {"memo-session", "memo-", "grpc-timeout", ":path", ":", "te",
                           "content-type", "user-agent", "host"}) {
    EXPECT_EQ(MetadataNameFault(name),
              "want none of memod's and gRPC's own: memo-..., grpc-..., :..., te, content-type, "
              "user-agent, host")
        << name;
  }
}

TEST(FieldPathFault, TakesNamesWithDots) {
  for (const char* path : {"a", "a.b_c", "Options.trace_id2", "_x"}) {
    EXPECT_EQ(FieldPathFault(path), "") << path;
  }
  for (const char* path : {"", ".", "a.", ".a", "a..b", "a[0]", "1a", "a.2", "a b", "a.*"}) {
    EXPECT_EQ(FieldPathFault(path), "want a field path such as \"options.trace_id\"") << path;
  }
}

TEST(Shown, IsQuotedAndOnOneLine) {
  EXPECT_EQ(Shown("a \"b\"\n"), R"("a \"b\"\n")");
  EXPECT_EQ(Shown(""), "\"\"");
}

}  // namespace
}  // namespace memod
