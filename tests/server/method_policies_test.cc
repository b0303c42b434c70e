// Policies that cannot be stop the start, and say where and what is wanted instead.
#include "memod/server/method_policies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "memod/server/server.h"
#include "memod/tests/testing/call.h"
#include "memod/tests/testing/probe.h"

namespace memod {
namespace {

using testing::HasSubstr;

// What a start is told; "": it would start.
std::string Fault(const ProbePolicies& policies, const std::vector<MethodConfig>& methods = {}) {
  Registry registry;
  RegisterProbe(registry, policies);
  Config config;
  config.methods = methods;
  const absl::Status status = Server::Check(config, registry);
  EXPECT_EQ(status.ok() || absl::IsInvalidArgument(status), true);
  return std::string(status.message());
}

MethodConfig Section(const std::string& method, const std::string& where = "memod.toml:7") {
  MethodConfig config;
  config.name = method;
  config.where = where;
  return config;
}

TEST(HostedPoliciesTest, WhatCodeAndConfigurationMaySay) {
  ProbePolicies policies{.share_equal_states = true};
  policies.compute = {.cache = "both",
                      .key_metadata = {"x-a"},
                      .forward = {"x-b"},
                      .answer_metadata = {"x-a"},
                      .key_ignore = {"trace", "labels"},
                      .negative = {{absl::StatusCode::kNotFound, std::nullopt}}};
  policies.other = {.cache = "both"};
  MethodConfig same_scope = Section(kProperty);
  same_scope.scope = Scope::kState;
  EXPECT_EQ(Fault(policies), "");
  EXPECT_EQ(Fault(policies, {same_scope}), "");
}

TEST(HostedPoliciesTest, PathThatLeadsNowhereIsNamedWithTheNearest) {
  const std::string fault =
      "/memo.testing.v1.Probe/Compute: key.ignore: \"trce\": memo.testing.v1.ProbeRequest has no "
      "field \"trce\"; did you mean trace?";
  EXPECT_EQ(Fault({.compute = {.key_ignore = {"trce"}}}), "registered: " + fault);
  MethodConfig section = Section(kCompute);
  section.key_ignore = {"trce"};
  EXPECT_EQ(Fault({}, {section}), "memod.toml:7: " + fault);
}

TEST(HostedPoliciesTest, IgnoredFieldsInCodeAndAKeyOfBytesInTheFileContradict) {
  MethodConfig section = Section(kCompute);
  section.key_mode = KeyMode::kBytes;
  EXPECT_EQ(Fault({.compute = {.key_ignore = {"trace"}}}, {section}),
            "memod.toml:7: /memo.testing.v1.Probe/Compute: key.ignore: got \"trace\" with "
            "key.mode = \"bytes\"; want key.mode = \"message\"");
}

TEST(HostedPoliciesTest, MethodsWithOneCacheAgreeInItsBoundsWhoeverSaysThem) {
  MethodConfig section = Section(kOther);
  section.cache = "both";
  section.max_entries = 2;
  EXPECT_EQ(Fault({.compute = {.cache = "both"}}, {section}),
            "memod.toml:7: /memo.testing.v1.Probe/Other: max_entries: got 2 where "
            "/memo.testing.v1.Probe/Compute (registered), with the same cache \"both\", has 128; "
            "want them equal");
}

TEST(HostedPoliciesTest, ErrorsThatTellNothingOfTheRequestCannotBeRemembered) {
  for (const absl::StatusCode code :
       {absl::StatusCode::kOk, absl::StatusCode::kCancelled, absl::StatusCode::kDeadlineExceeded,
        absl::StatusCode::kUnavailable}) {
    EXPECT_THAT(Fault({.compute = {.negative = {{code, std::nullopt}}}}),
                HasSubstr("registered: /memo.testing.v1.Probe/Compute: negative." +
                          absl::StatusCodeToString(code) + ": want an error"));
  }
}

TEST(HostedPoliciesTest, ScopeIsTheCodes) {
  MethodConfig section = Section(kCompute);
  section.scope = Scope::kServer;
  EXPECT_EQ(Fault({}, {section}),
            "memod.toml:7: method.scope: want it left out, or \"session\": it is a method of a "
            "class whose sessions share nothing (/memo.testing.v1.Probe/Compute)");
  EXPECT_EQ(Fault({.share_equal_states = true}, {section}),
            "memod.toml:7: method.scope: want it left out, or \"state\": its class shares equal "
            "states (/memo.testing.v1.Probe/Compute)");
  section.name = kStatic;
  section.scope = Scope::kSession;
  EXPECT_EQ(Fault({}, {section}),
            "memod.toml:7: method.scope: want it left out, or \"server\": it is a function without "
            "an instance (/memo.testing.v1.Probe/Static)");
}

TEST(HostedPoliciesTest, EachFaultHasALineAndNothingStarts) {
  MethodConfig unknown = Section("/nope.Nope/Nope", "memod.toml:3");
  ProbePolicies policies;
  policies.compute.key_metadata = policies.compute.forward = {"x-a"};
  policies.other.key_ignore = {"nope"};
  const std::string fault = Fault(policies, {unknown});
  EXPECT_EQ(std::count(fault.begin(), fault.end(), '\n'), 2) << fault;
  EXPECT_THAT(fault, HasSubstr("memod.toml:3: no hosted method is called /nope.Nope/Nope"));
  EXPECT_THAT(fault, HasSubstr("Other: key.ignore: \"nope\""));
  EXPECT_THAT(fault, HasSubstr("Compute: forward: got \"x-a\", which key.metadata has too"));
  Registry registry;
  RegisterProbe(registry, policies);
  Config config;
  config.methods = {unknown};
  EXPECT_EQ(Server::Start(config, registry).status().message(), fault);
}

}  // namespace
}  // namespace memod
