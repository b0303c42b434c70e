#include "memod/server/policy_check.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace memod {
namespace {

using std::chrono::seconds;

FinalPolicy Method(std::string name, std::string where, const Policy& policy,
                   std::string state_type = "a.State") {
  return {std::move(name), std::move(where), std::move(state_type), policy};
}

std::string Fault(const std::vector<FinalPolicy>& policies) {
  const absl::Status status = CheckPolicies(policies);
  EXPECT_EQ(status.code(),
            status.ok() ? absl::StatusCode::kOk : absl::StatusCode::kInvalidArgument);
  return std::string(status.message().data(), status.message().size());
}

std::string Fault(const Policy& policy) { return Fault({Method("/a.B/C", "registered", policy)}); }

TEST(PolicyCheckTest, DefaultsAndEveryKeyAtOnceAreFine) {
  Policy all;
  all.cache = "prices";
  all.key_metadata = {"x-tenant"};
  all.forward = {"traceparent"};
  all.answer_metadata = {"x-tenant", "date-bin"};
  all.key_mode = KeyMode::kMessage;
  all.key_ignore = {"a.b"};
  all.negative = {{absl::StatusCode::kNotFound, seconds(1)},
                  {absl::StatusCode::kInvalidArgument, std::nullopt}};
  EXPECT_EQ(Fault(std::vector<FinalPolicy>()), "");
  EXPECT_EQ(Fault(Policy()), "");
  EXPECT_EQ(Fault(all), "");
}

TEST(PolicyCheckTest, IgnoredFieldsNeedAMessageKey) {
  Policy policy;
  policy.key_ignore = {"a", "b"};
  EXPECT_EQ(Fault(policy),
            "registered: /a.B/C: key.ignore: got \"a\" with key.mode = \"bytes\"; "
            "want key.mode = \"message\"");
}

TEST(PolicyCheckTest, MetadataIsInTheKeyOrForwarded) {
  Policy policy;
  policy.key_metadata = {"x-a", "x-b"};
  policy.forward = {"x-b"};
  EXPECT_EQ(Fault(policy),
            "registered: /a.B/C: forward: got \"x-b\", which key.metadata has too; "
            "want it in one of them");
}

TEST(PolicyCheckTest, NamesFromCodeAreCheckedAsThoseInTheFile) {
  Policy policy;
  policy.cache = "a\nb";
  policy.key_metadata = {"X-A"};
  policy.key_mode = KeyMode::kMessage;
  policy.key_ignore = {"a..b"};
  policy.forward = {"memo-session", "x-b", "x-b"};
  policy.answer_metadata = {"x b"};
  EXPECT_EQ(Fault(policy),
            "registered: /a.B/C: cache: got \"a\\nb\"; want a name of printable ASCII characters\n"
            "registered: /a.B/C: key.metadata: got \"X-A\"; want lower case, \"x-a\"\n"
            "registered: /a.B/C: key.ignore: got \"a..b\"; want a field path such as "
            "\"options.trace_id\"\n"
            "registered: /a.B/C: forward: got \"memo-session\"; want none of memod's and gRPC's "
            "own: memo-..., grpc-..., :..., te, content-type, user-agent, host\n"
            "registered: /a.B/C: forward: got \"x-b\"; want each once\n"
            "registered: /a.B/C: answer.metadata: got \"x b\"; want a metadata name: lower case "
            "letters, digits, \"-\", \"_\", \".\"");
}

TEST(PolicyCheckTest, ErrorsThatTellNothingOfTheRequestAreNotRemembered) {
  for (const auto& [code, want] : std::vector<std::pair<absl::StatusCode, std::string>>{
           {absl::StatusCode::kOk, "OK: want an error: OK answers are remembered anyway"},
           {absl::StatusCode::kCancelled,
            "CANCELLED: want an error that the request leads to each time: this one tells of the "
            "caller"},
           {absl::StatusCode::kDeadlineExceeded,
            "DEADLINE_EXCEEDED: want an error that the request leads to each time: this one tells "
            "of the caller"},
           {absl::StatusCode::kUnavailable,
            "UNAVAILABLE: want an error that the request leads to each time: this one tells of the "
            "moment"}}) {
    Policy policy;
    policy.negative = {{code, seconds(1)}};
    EXPECT_EQ(Fault(policy), "registered: /a.B/C: negative." + want);
  }
}

TEST(PolicyCheckTest, ErrorIsRememberedForSomeTime) {
  Policy policy;
  policy.negative = {{absl::StatusCode::kNotFound, Duration::zero()}};
  EXPECT_EQ(Fault(policy),
            "registered: /a.B/C: negative.NOT_FOUND: got 0ns; want a duration above 0, or none");
}

// --- methods that have a cache in common ---

Policy InCache(std::string name) {
  Policy policy;
  policy.cache = std::move(name);
  return policy;
}

TEST(PolicyCheckTest, MethodsWithOneCacheAgreeInItsBounds) {
  Policy one = InCache("prices"), other = InCache("prices");
  EXPECT_EQ(Fault({Method("/a.B/C", "registered", one), Method("/a.B/D", "memod.toml:9", other)}),
            "");
  one.max_entries = 128;
  other.max_entries = 5;
  one.max_entries_total = 1000;
  other.scope = Scope::kState;
  EXPECT_EQ(Fault({Method("/a.B/C", "registered", one), Method("/a.B/D", "memod.toml:9", other)}),
            "memod.toml:9: /a.B/D: scope: got state where /a.B/C (registered), with the same cache "
            "\"prices\", has session; want them equal\n"
            "memod.toml:9: /a.B/D: max_entries: got 5 where /a.B/C (registered), with the same "
            "cache \"prices\", has 128; want them equal\n"
            "memod.toml:9: /a.B/D: max_entries_total: got unbounded where /a.B/C (registered), "
            "with the same cache \"prices\", has 1000; want them equal");
}

TEST(PolicyCheckTest, EveryMethodThatDisagreesIsTold) {
  Policy two = InCache("prices"), three = InCache("prices");
  two.max_entries = 2;
  three.max_entries = 3;
  EXPECT_EQ(Fault({Method("/a.B/C", "memod.toml:1", InCache("prices")),
                   Method("/a.B/D", "memod.toml:5", two), Method("/a.B/E", "memod.toml:9", three)}),
            "memod.toml:5: /a.B/D: max_entries: got 2 where /a.B/C (memod.toml:1), with the same "
            "cache \"prices\", has 128; want them equal\n"
            "memod.toml:9: /a.B/E: max_entries: got 3 where /a.B/C (memod.toml:1), with the same "
            "cache \"prices\", has 128; want them equal");
}

TEST(PolicyCheckTest, NegativeNumberOfEntriesIsZero) {
  Policy one = InCache("prices"), other = InCache("prices");
  one.max_entries = -5;
  other.max_entries = 0;
  EXPECT_EQ(Fault({Method("/a.B/C", "registered", one), Method("/a.B/D", "registered", other)}),
            "");
}

TEST(PolicyCheckTest, CacheIsCalledAsItsMethodUnlessItHasAName) {
  Policy other = InCache("/a.B/C");
  other.max_entries = 5;
  EXPECT_EQ(
      Fault({Method("/a.B/C", "registered", Policy()), Method("/a.B/D", "memod.toml:9", other)}),
      "memod.toml:9: /a.B/D: max_entries: got 5 where /a.B/C (registered), with the same "
      "cache \"/a.B/C\", has 128; want them equal");
}

TEST(PolicyCheckTest, CachesOfOtherClassesAreOthers) {
  Policy one = InCache("prices"), other = InCache("prices");
  other.max_entries = 5;
  EXPECT_EQ(Fault({Method("/a.B/C", "registered", one, "a.State"),
                   Method("/a.B/D", "registered", other, "b.State")}),
            "");
}

TEST(PolicyCheckTest, MethodsInServerScopeHaveCachesInCommonToo) {
  Policy one = InCache("prices"), other = InCache("prices");
  one.scope = other.scope = Scope::kServer;
  other.max_entries = 5;
  EXPECT_EQ(
      Fault({Method("/a.B/C", "registered", one, ""), Method("/x.Y/Z", "registered", other, "")}),
      "registered: /x.Y/Z: max_entries: got 5 where /a.B/C (registered), with the same cache "
      "\"prices\", has 128; want them equal");
}

}  // namespace
}  // namespace memod
