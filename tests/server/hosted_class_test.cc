// What may be hosted: checked by the compiler where it can be, against the .protos when the server
// starts where it cannot.
#include "memod/server/hosted_class.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "memo/v1/session.pb.h"
#include "memod/tests/testing/probe.h"

namespace memod {
namespace {

using memo::testing::v1::ProbeState;
using testing::AllOf;
using testing::HasSubstr;

struct Derived : Probe {
  using Probe::Probe;
  static absl::StatusOr<std::unique_ptr<Derived>> Create(const ProbeState& state) {
    return std::make_unique<Derived>(state.id());
  }
};

absl::StatusOr<memo::v1::OpenSessionResponse> OpenSession(const memo::v1::OpenSessionRequest&) {
  return memo::v1::OpenSessionResponse();
}

std::string Check(const Registry& registry) { return registry.Check().ToString(); }

TEST(HostedClassTest, WhatFitsTheProtoIsFine) {
  Registry registry;
  RegisterProbe(registry);
  EXPECT_EQ(Check(registry), "OK");
}

TEST(HostedClassTest, AMethodOfABaseClassMayBeHosted) {
  Registry registry;
  registry.Class<&Derived::Create>("memo.testing.v1.Probe").Method<&Probe::Compute>("Compute");
  EXPECT_EQ(Check(registry), "OK");
}

TEST(HostedClassTest, UnknownServiceAndMethodAreNamed) {
  Registry registry;
  registry.Class<&Probe::Create>("nope.Nope").Method<&Probe::Compute>("Compute");
  EXPECT_THAT(Check(registry), HasSubstr("nope.Nope: no such service in the .protos compiled in"));
  Registry other;
  other.Class<&Probe::Create>("memo.testing.v1.Probe").Method<&Probe::Compute>("Nope");
  EXPECT_THAT(Check(other),
              HasSubstr("memo.testing.v1.Probe.Nope: no such rpc in testing/probe.proto"));
}

TEST(HostedClassTest, OtherTypesThanTheProtosAreNamedBoth) {
  Registry registry;
  registry.Class<&Probe::Create>("memo.testing.v1.Probe").Method<&Probe::Compute>("Property");
  EXPECT_THAT(Check(registry),
              HasSubstr("memo.testing.v1.Probe.Property: its request is google.protobuf.Empty in "
                        "testing/probe.proto, memo.testing.v1.ProbeRequest as registered"));
}

TEST(HostedClassTest, StreamingMethodCannotBeMemoized) {
  Registry registry;
  registry.Functions("memo.v1.SessionService").Function<&OpenSession>("OpenSession");
  EXPECT_THAT(Check(registry), HasSubstr("only unary methods can be memoized"));
}

TEST(HostedClassTest, EverythingRegisteredTwiceIsNamed) {
  Registry registry;
  RegisterProbe(registry);
  registry.Class<&Probe::Create>("memo.testing.v1.Probe").Method<&Probe::Compute>("Compute");
  EXPECT_THAT(Check(registry),
              AllOf(HasSubstr("memo.testing.v1.Probe: registered twice"),
                    HasSubstr("state memo.testing.v1.ProbeState: registered twice"),
                    HasSubstr("/memo.testing.v1.Probe/Compute: registered twice")));
}

}  // namespace
}  // namespace memod
