// [upstream.defaults], descriptor_set and memoize_no_side_effects, as they are read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "memod/server/config.h"
#include "memod/tests/server/toml_file.h"

namespace memod {
namespace {

using std::chrono::minutes;
using testing::ElementsAre;
using testing::HasSubstr;

absl::StatusOr<Config> Upstream(const std::string& keys) {
  const TomlFile file("[[upstream]]\nname = 'pricing'\ntarget = 'a:1'\n" + keys);
  return LoadConfig({.toml_file = file.path(), .environment = {}, .flags = {}});
}

std::string Fault(const std::string& keys) {
  return std::string(Upstream(keys).status().message());
}

TEST(ConfigUpstreamTest, MethodsSayWhatDiffersFromTheDefaultsWhereverTheyStand) {
  constexpr char kDefaults[] =
      "[upstream.defaults]\nttl = '1m'\nkey.metadata = ['a', 'b']\nscope = 'server'\n"
      "negative = { NOT_FOUND = '1m', ABORTED = '2m' }\n";
  constexpr char kMethods[] =
      "[[upstream.method]]\nname = '/a.B/C'\n"
      "[[upstream.method]]\nname = '/a.B/D'\nttl = '2m'\nkey.metadata = ['c']\n"
      "negative = { DATA_LOSS = '3m' }\n";
  for (const std::string& keys :
       {std::string(kDefaults) + kMethods, std::string(kMethods) + kDefaults}) {
    const auto config = Upstream(keys);
    ASSERT_TRUE(config.ok()) << config.status();
    const auto& methods = config->upstreams.at(0).methods;
    EXPECT_EQ(methods.at(0).ttl, minutes(1));
    EXPECT_THAT(*methods.at(0).key_metadata, ElementsAre("a", "b"));
    EXPECT_EQ(methods.at(0).negative->size(), 2u);
    EXPECT_EQ(methods.at(1).ttl, minutes(2));
    EXPECT_THAT(*methods.at(1).key_metadata, ElementsAre("c"));
    EXPECT_THAT(*methods.at(1).negative,
                ElementsAre(testing::Pair(absl::StatusCode::kDataLoss, minutes(3))));
    for (const MethodConfig& method : methods) EXPECT_EQ(method.scope, Scope::kServer);
  }
}

TEST(ConfigUpstreamTest, DefaultsOfOneUpstreamAreNotAnothers) {
  const auto config = Upstream(
      "[upstream.defaults]\nttl = '1m'\n[[upstream]]\nname = 'b'\ntarget = 'b:1'\n"
      "services = ['b.B']\n[[upstream.method]]\nname = '/b.B/C'\n");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->upstreams.at(1).methods.at(0).ttl, std::nullopt);
}

TEST(ConfigUpstreamTest, WhatContradictsTheDefaultsIsNoErrorOfTheSection) {
  const auto config = Upstream(
      "[upstream.defaults]\nkey.ignore = ['a']\nforward = ['x']\n"
      "[[upstream.method]]\nname = '/a.B/C'\nkey.mode = 'bytes'\nkey.metadata = ['x']\n");
  EXPECT_TRUE(config.ok()) << config.status() << ", which policy_check.h finds";
}

TEST(ConfigUpstreamTest, BadDefaultsAreNamed) {
  EXPECT_THAT(Fault("defaults = 3\n"), HasSubstr("upstream.defaults: got 3; want a section"));
  EXPECT_THAT(Fault("[upstream.defaults]\nname = '/a.B/C'\n"),
              HasSubstr(":5: upstream.defaults.name: want it left out"));
  EXPECT_THAT(
      Fault("[upstream.defaults]\ntll = '1m'\n"),
      HasSubstr(":5: unknown key upstream.defaults.tll; did you mean upstream.defaults.ttl"));
  EXPECT_THAT(Fault("[upstream.defaults]\nttl = 3\n"),
              HasSubstr(":5: upstream.defaults.ttl: got 3"));
  EXPECT_THAT(Fault("[upstream.defaults]\nkey.metadata = ['x']\nforward = ['x']\n"),
              HasSubstr("upstream.defaults.forward: got \"x\""));
  EXPECT_THAT(Fault("[upstream.default]\nttl = '1m'\n"),
              HasSubstr("did you mean upstream.defaults?"));
}

TEST(ConfigUpstreamTest, DescriptorsAndImpliedMethods) {
  const auto config = Upstream("descriptor_set = 'a b.binpb'\nmemoize_no_side_effects = true\n");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->upstreams.at(0).descriptor_set, "a b.binpb");
  EXPECT_TRUE(config->upstreams.at(0).memoize_no_side_effects);
  EXPECT_THAT(Fault("descriptor_set = ''\n"), HasSubstr("upstream.descriptor_set: got \"\""));
  EXPECT_THAT(Fault("memoize_no_side_effects = 1\n"), HasSubstr("want true or false"));
}

}  // namespace
}  // namespace memod
