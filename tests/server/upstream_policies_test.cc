// Which methods of upstreams can be memoized, and how: what every other configuration is told.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "memod/server/examples/examples.h"
#include "memod/server/method_policies.h"
#include "memod/tests/server/toml_file.h"

namespace memod {
namespace {

class UpstreamPoliciesTest : public testing::Test {
 protected:
  UpstreamPoliciesTest() { examples::Register(registry_); }

  // Of the upstream "a", which a.B/C is a method of; its lines begin with the file's fourth.
  absl::StatusOr<std::vector<FinalPolicy>> Policies(const std::string& lines) {
    const TomlFile file("[[upstream]]\nname = 'a'\ntarget = 'a:1'\n" + lines);
    const absl::StatusOr<Config> config =
        LoadConfig({.toml_file = file.path(), .environment = {}, .flags = {}});
    if (!config.ok()) return config.status();
    auto policies = CheckedPolicies(*config, UpstreamFiles(config->upstreams.size()), registry_);
    if (policies.ok()) return policies;
    const absl::string_view message = policies.status().message();
    return absl::Status(policies.status().code(), file.Relative({message.data(), message.size()}));
  }
  // What the file is told; "" where nothing is wrong.
  std::string Fault(const std::string& lines) {
    const auto policies = Policies(lines);
    return policies.ok() ? "" : std::string(policies.status().message());
  }
  // The same of the method a.B/C alone, from the file's sixth line on.
  std::string MethodFault(const std::string& lines) {
    return Fault("[[upstream.method]]\nname = '/a.B/C'\n" + lines);
  }
  FinalPolicy Policy(const std::string& lines) {
    const auto policies = Policies("[[upstream.method]]\nname = '/a.B/C'\n" + lines);
    EXPECT_TRUE(policies.ok()) << policies.status();
    return policies.ok() ? policies->back() : FinalPolicy();
  }

 private:
  Registry registry_;
};

TEST_F(UpstreamPoliciesTest, MethodOfAnUpstreamHasSessionScopeUnlessSaidOtherwise) {
  EXPECT_EQ(Policy("").policy.scope, Scope::kSession);
  EXPECT_EQ(Policy("").policy.max_entries, 128);
  EXPECT_EQ(Policy("").state_type, "");
  EXPECT_EQ(Policy("scope = 'session'\nmax_entries = 3").policy.max_entries, 3);
  EXPECT_EQ(Policy("scope = 'server'\npublic = true").policy.scope, Scope::kServer);
}

// Answers that go to everybody must not be one caller's.
TEST_F(UpstreamPoliciesTest, ServerScopeNeedsAuthorizationInTheKeyOrPublicAnswers) {
  const std::string refusal =
      "memod.toml:4: upstream.method.scope: got \"server\", where an answer goes to everybody; "
      "want "
      "\"authorization\" in upstream.method.key.metadata, or upstream.method.public = true where "
      "answers are the same for all";
  EXPECT_EQ(MethodFault("scope = 'server'"), refusal);
  EXPECT_EQ(MethodFault("scope = 'server'\npublic = false"), refusal);
  EXPECT_EQ(MethodFault("scope = 'server'\nkey.metadata = ['x-tenant']"), refusal);
  EXPECT_EQ(MethodFault("scope = 'server'\nforward = ['authorization']"), refusal);
  EXPECT_EQ(MethodFault("scope = 'server'\nkey.metadata = ['authorization']"), "");
  EXPECT_EQ(MethodFault("scope = 'server'\npublic = true"), "");
}

TEST_F(UpstreamPoliciesTest, StateScopeIsForHostedClasses) {
  EXPECT_EQ(MethodFault("scope = 'state'"),
            "memod.toml:4: upstream.method.scope: got \"state\"; want \"session\" or \"server\": "
            "sessions "
            "have a state only for hosted classes");
}

TEST_F(UpstreamPoliciesTest, MethodIsOneOfTheUpstreamsServices) {
  EXPECT_EQ(Fault("services = ['a.X', 'a.Y']\n[[upstream.method]]\nname = '/a.B/C'"),
            "memod.toml:5: upstream.method.name: got /a.B/C; want a method of a.X, a.Y "
            "(upstream.services)");
  EXPECT_EQ(Fault("services = ['a.X', 'a.B']\n[[upstream.method]]\nname = '/a.B/C'"), "");
}

TEST_F(UpstreamPoliciesTest, MethodIsNotOfAServiceThatAnotherUpstreamHas) {
  EXPECT_EQ(
      MethodFault("[[upstream]]\nname = 'b'\ntarget = 'b:1'\nservices = ['a.B']"),
      "memod.toml:4: upstream.method.name: got /a.B/C, whose service is that of the upstream b "
      "(memod.toml:6); want it there");
}

TEST_F(UpstreamPoliciesTest, WhatIsServedHereIsNoUpstreams) {
  EXPECT_EQ(Fault("[[upstream.method]]\nname = '/memo.examples.v1.SlowAdder/Calculate'"),
            "memod.toml:4: upstream.method.name: got /memo.examples.v1.SlowAdder/Calculate, whose "
            "service is hosted here");
  EXPECT_EQ(
      Fault("[[upstream.method]]\nname = '/grpc.health.v1.Health/Check'"),
      "memod.toml:4: upstream.method.name: got /grpc.health.v1.Health/Check, whose service is "
      "memod's own");
  EXPECT_EQ(Fault("services = ['memo.examples.v1.Dataset', 'a.B', 'memo.v1.SessionService']"),
            "memod.toml:1: upstream.services: got memo.examples.v1.Dataset, which is hosted here\n"
            "memod.toml:1: upstream.services: got memo.v1.SessionService, which is memod's own");
}

TEST_F(UpstreamPoliciesTest, HostedMethodHasNoKeysOfAnUpstreams) {
  EXPECT_EQ(
      Fault("[[method]]\nname = '/memo.examples.v1.SlowAdder/Calculate'\npublic = true\n"
            "without_session = 'pass'"),
      "memod.toml:4: method.public: want it left out: it is for methods of an upstream, and "
      "/memo.examples.v1.SlowAdder/Calculate is hosted\n"
      "memod.toml:4: method.without_session: want it left out: it is for methods of an upstream, "
      "and /memo.examples.v1.SlowAdder/Calculate is hosted");
  EXPECT_EQ(Fault("[[method]]\nname = '/a.B/C'"),
            "memod.toml:4: no hosted method is called /a.B/C");
}

TEST_F(UpstreamPoliciesTest, EverythingThatIsWrongIsToldAtOnce) {
  const std::string fault = MethodFault(
      "scope = 'server'\nnegative.NOT_FOUND = '1s'\n"
      "[[upstream.method]]\nname = '/a.B/D'\nscope = 'state'\n");
  EXPECT_EQ(std::count(fault.begin(), fault.end(), '\n'), 1) << fault;
}

// What a [[upstream]] itself may say.

TEST_F(UpstreamPoliciesTest, UpstreamsHaveNamesTargetsAndServicesOfTheirOwn) {
  const auto fault = [](const std::string& first, const std::string& second) {
    return ConfigError({}, "[[upstream]]\n" + first + "[[upstream]]\n" + second);
  };
  const std::string a = "name = 'a'\ntarget = 'a:1'\nservices = ['x.Y']\n";
  EXPECT_EQ(fault(a, "name = 'b'\ntarget = 'b:1'\n"), "OK");
  EXPECT_EQ(fault(a, "name = 'b'\n"),
            "memod.toml:5: upstream.target: missing; want a gRPC name, such as "
            "\"dns:///pricing:50051\" or \"unix:/run/a.sock\"");
  EXPECT_EQ(fault(a, "target = 'b:1'\n"),
            "memod.toml:5: upstream.name: missing; want a name of printable ASCII characters");
  EXPECT_EQ(fault(a, "name = 'a'\ntarget = 'b:1'\n"),
            "memod.toml:5: upstream.name: got \"a\" again; want a name of its own, and "
            "memod.toml:1 has this one");
  EXPECT_EQ(fault(a, "name = 'b'\ntarget = 'b:1'\nservices = ['z.Z', 'x.Y']\n"),
            "memod.toml:5: upstream.services: got \"x.Y\", which memod.toml:1 has too; want it in "
            "one of them");
  EXPECT_EQ(fault("name = 'a'\ntarget = 'a:1'\n", "name = 'b'\ntarget = 'b:1'\n"),
            "memod.toml:4: upstream.services: missing; want the services it is called for, since "
            "memod.toml:1 gets all that nobody else serves");
  EXPECT_EQ(
      fault(a, "name = 'b'\ntarget = 'b:1'\nmax_calls = 0\nkeepalive_time = 'often'\n"),
      "memod.toml:8: upstream.max_calls: got 0; want an integer from 1 to 10000000, or "
      "\"unbounded\"\n"
      "memod.toml:9: upstream.keepalive_time: got \"often\"; want a duration from 1ms to 24h, "
      "such as 10s, or \"none\"");
  EXPECT_EQ(fault(a, "name = 'b'\ntarget = 'b:1'\nchannels = 0\nmax_response_bytes = '2GiB'\n"),
            "memod.toml:8: upstream.channels: got 0; want an integer from 1 to 64\n"
            "memod.toml:9: upstream.max_response_bytes: got \"2GiB\"; want a size from 1B to 1GiB, "
            "such as 4MiB");
}

}  // namespace
}  // namespace memod
