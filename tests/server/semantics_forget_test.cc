// ring's delete: Forget drops one entry and touches nothing else.
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "memod/tests/testing/server_test.h"

namespace memod {
namespace {

using MetadataToSend = std::multimap<std::string, std::string>;

class ForgetTest : public ServerTest {
 protected:
  static constexpr char kNotCached[] = "FAILED_PRECONDITION NOT_CACHED";

  // "1 entries", or the error's words.
  std::string Forget(const std::optional<std::string>& handle, const std::string& method,
                     std::string_view request, const MetadataToSend& metadata = {}) {
    memo::v1::ForgetRequest forget;
    forget.set_method(method);
    forget.set_request(std::string(request));
    const Told told = Ask(handle, forget.SerializeAsString(),
                          {.method = "/memo.v1.SessionService/Forget", .metadata = metadata});
    if (!told.status.ok()) return told.Words();
    memo::v1::ForgetResponse response;
    EXPECT_TRUE(response.ParseFromString(told.bytes));
    receipt = response.receipt();
    return absl::StrCat(receipt.entries(), " entries");
  }
  std::string Forget(const SessionHandle& session, const std::string& key) {
    return Forget(session.handle(), kCompute, Request(key));
  }
  // As an administrator.
  std::string AdminForget(const std::string& session_id, const std::string& method,
                          std::string_view request, const MetadataToSend& metadata = {}) {
    memo::v1::AdminServiceForgetRequest forget;
    forget.mutable_call()->set_session_id(session_id);
    forget.mutable_call()->set_method(method);
    forget.mutable_call()->set_request(std::string(request));
    for (const auto& [name, value] : metadata) {
      auto* entry = forget.mutable_call()->add_metadata();
      entry->set_name(name);
      entry->set_value(value);
    }
    memo::v1::AdminServiceForgetResponse response;
    grpc::ClientContext context;
    const grpc::Status status = admin->Forget(&context, forget, &response);
    if (!status.ok()) return status.error_message();
    receipt = response.receipt();
    return absl::StrCat(receipt.entries(), " entries");
  }
  void Block(const std::string& key) {
    lab.On(key, [this, key](Computing& c) {
      lab.gate(key).Pass();
      return absl::StrCat("v", c.nth);
    });
  }

  memo::v1::ReleaseReceipt receipt;  // of the last that forgot
};

TEST_F(ForgetTest, RingDeleteForgetsThatEntryOnlyAndSaysWhat) {
  Serve();
  const SessionHandle session = Open("a");
  const SessionHandle other = Open("a");
  for (const SessionHandle* s : {&session, &other}) Get(*s, "x");
  Get(session, "y");
  Get(session, "x", {.method = kOther});
  const auto before = CacheInfoOf(session, kCompute);
  EXPECT_EQ(Forget(session, "x"), "1 entries");
  const auto after = CacheInfoOf(session, kCompute);
  EXPECT_EQ(receipt.bytes(), before.bytes() - after.bytes());
  EXPECT_GT(receipt.bytes(), 0);
  EXPECT_GT(receipt.compute_seconds(), 0);
  EXPECT_EQ(Counts(before), "misses 2, computations 2, currsize 2");
  EXPECT_EQ(Counts(after), "misses 2, computations 2, currsize 1") << "no counter but currsize";
  EXPECT_EQ(Get(session, "y"), "hit a:y");
  EXPECT_EQ(Get(session, "x", {.method = kOther}), "hit a:x");
  EXPECT_EQ(Get(other, "x"), "hit a:x");
  EXPECT_EQ(Get(session, "x"), "miss a:x");
  EXPECT_EQ(lab.computed("x"), 4);
}

TEST_F(ForgetTest, WhatIsNotRememberedIsNoEntriesAndNoError) {
  Serve();
  const SessionHandle session = Open("a");
  EXPECT_EQ(Forget(session, "x"), "0 entries") << "before the first call";
  Get(session, "x");
  EXPECT_EQ(Forget(session, "never"), "0 entries");
  EXPECT_EQ(receipt.bytes(), 0);
  EXPECT_EQ(receipt.compute_seconds(), 0);
  EXPECT_EQ(Forget(session, "x"), "1 entries");
  EXPECT_EQ(Forget(session, "x"), "0 entries");
  EXPECT_EQ(Info(session), "misses 1, computations 1, currsize 0");
}

TEST_F(ForgetTest, TouchesNoRecency) {
  Serve(MaxEntries(3));
  const SessionHandle session = Open("a");
  for (const char* key : {"1", "2", "3"}) Get(session, key);
  EXPECT_EQ(Forget(session, "2"), "1 entries");
  EXPECT_EQ(Forget(session, "never"), "0 entries");
  Get(session, "4");  // in its place
  Get(session, "5");  // 1 is still the least recent
  EXPECT_EQ(Get(session, "3"), "hit a:3");
  EXPECT_EQ(Get(session, "1", {.control = "only-if-cached"}), kNotCached);
  EXPECT_EQ(CacheInfoOf(session, kCompute).evictions(), 1) << "none for what is forgotten";
}

TEST_F(ForgetTest, ComputationUnderWayAnswersItsCallersAndIsNotStored) {
  Serve();
  const SessionHandle session = Open("a");
  Block("x");
  const auto calls = StartMany(session, "x", 2);
  EXPECT_EQ(Forget(session, "never"), "0 entries");
  EXPECT_EQ(Forget(session, "x"), "0 entries");
  for (Call* call : calls) EXPECT_FALSE(call->done());
  Call& after = Start(session, "x");
  EXPECT_TRUE(lab.gate("x").AwaitArrived(2)) << "a call after it starts its own";
  lab.gate("x").Open();
  for (Call* call : calls) EXPECT_TRUE(call->Words().ends_with(" v1")) << call->Words();
  EXPECT_EQ(after.Words(), "miss v2");
  EXPECT_EQ(Get(session, "x"), "hit v2");
}

TEST_F(ForgetTest, ARefreshUnderWayIsNotStoredEither) {
  Serve();
  const SessionHandle session = Open("a");
  lab.On("x", [this](Computing& c) {
    if (c.nth == 2) lab.gate("x").Pass();
    return absl::StrCat("v", c.nth);
  });
  Get(session, "x");
  Call& refresh = Start(session, "x", {.control = "refresh"});
  ASSERT_TRUE(lab.gate("x").AwaitArrived());
  EXPECT_EQ(Forget(session, "x"), "1 entries");
  lab.gate("x").Open();
  EXPECT_EQ(refresh.Words(), "miss v2");
  EXPECT_EQ(Get(session, "x", {.control = "only-if-cached"}), kNotCached);
}

TEST_F(ForgetTest, WhereMetadataIsInTheKeyItIsThatOfTheCall) {
  Serve({.probe = {.compute = {.key_metadata = {"x-tenant"}}}});
  const SessionHandle session = Open("a");
  const auto get = [&](const MetadataToSend& metadata) {
    return Get(session, "x", {.metadata = metadata});
  };
  const std::vector<MetadataToSend> all = {{}, {{"x-tenant", ""}}, {{"x-tenant", "t"}}};
  for (const auto& metadata : all) get(metadata);
  EXPECT_EQ(Forget(session.handle(), kCompute, Request("x"), {{"x-tenant", "u"}}), "0 entries");
  EXPECT_EQ(Forget(session.handle(), kCompute, Request("x"), {{"x-tenant", "t"}, {"x-any", "1"}}),
            "1 entries");
  EXPECT_EQ(get(all[0]), "hit a:x");
  EXPECT_EQ(get(all[1]), "hit a:x");
  EXPECT_EQ(get(all[2]), "miss a:x");
  EXPECT_EQ(Forget(session, "x"), "1 entries") << "that of no tenant";
  EXPECT_EQ(get(all[0]), "miss a:x");
}

TEST_F(ForgetTest, WhereTheKeyIsAMessageEqualOnesAreOne) {
  Serve({.probe = {.compute = {.key_mode = KeyMode::kMessage}}});
  const SessionHandle session = Open("a");
  memo::testing::v1::ProbeRequest request;
  request.set_trace("t");
  const std::string trace = request.SerializeAsString();
  EXPECT_EQ(Ask(session.handle(), Request("x") + trace).Words(), "miss a:x");
  EXPECT_EQ(Forget(session.handle(), kCompute, trace + Request("x")), "1 entries");
  EXPECT_EQ(Forget(session.handle(), kCompute, "\xff"), "0 entries") << "which is no message";
}

TEST_F(ForgetTest, SessionsWithEqualStateForgetForAll) {
  ServeOptions options;
  options.probe.share_equal_states = true;
  Serve(options);
  const SessionHandle first = Open("s");
  const SessionHandle second = Open("s");
  Get(first, "x");
  EXPECT_EQ(Forget(second, "x"), "1 entries");
  EXPECT_EQ(Get(first, "x"), "miss s:x");
}

TEST_F(ForgetTest, WhatIsWrongIsTold) {
  Serve();
  const SessionHandle session = Open("a");
  Ask(std::nullopt, Request("x"), {.method = kShared});
  EXPECT_EQ(Forget(session.handle(), "/nope.Nope/Nope", ""),
            "NOT_FOUND: this session has no memoized method \"/nope.Nope/Nope\"; a name is like "
            "/package.Service/Method");
  EXPECT_TRUE(Forget(session.handle(), kShared, Request("x")).starts_with("NOT_FOUND: "))
      << "it is everybody's";
  EXPECT_EQ(Forget(session.handle(), "", Request("x")), "INVALID_ARGUMENT BAD_REQUEST");
  EXPECT_EQ(Forget(std::nullopt, kCompute, Request("x")), "FAILED_PRECONDITION SESSION_REQUIRED");
  EXPECT_EQ(Forget("nope", kCompute, Request("x")), "NOT_FOUND SESSION_NOT_FOUND");
  EXPECT_EQ(AdminInfo().gauges().entries(), 1);
}

TEST_F(ForgetTest, AdministratorForgetsOfASessionAndOfWhatAllShare) {
  Serve({.probe = {.compute = {.key_metadata = {"x-tenant"}}}});
  const SessionHandle session = Open("a");
  Get(session, "x", {.metadata = {{"x-tenant", "t"}}});
  Get(session, "x", {.method = kShared});
  Get(session, "y", {.method = kShared});
  EXPECT_EQ(AdminForget(session.id(), kCompute, Request("x")), "0 entries");
  EXPECT_EQ(AdminForget(session.id(), kCompute, Request("x"), {{"X-Tenant", "t"}}), "1 entries");
  EXPECT_GT(receipt.bytes(), 0);
  EXPECT_EQ(AdminForget("", kShared, Request("x")), "1 entries");
  EXPECT_EQ(AdminForget(session.id(), kShared, Request("y")), "1 entries");
  EXPECT_TRUE(AliveSoon("sessions 1, instances 1"));
}

TEST_F(ForgetTest, AdministratorIsToldWhatIsWrong) {
  Serve();
  const SessionHandle session = Open("a");
  Get(session, "x");
  EXPECT_EQ(AdminForget("", kCompute, Request("x")),
            "session_id is empty; /memo.testing.v1.Probe/Compute is remembered for each session, "
            "and ListSessions lists their ids");
  EXPECT_EQ(AdminForget("nope", kCompute, Request("x")),
            "no open session \"nope\"; ListSessions lists their ids");
  EXPECT_EQ(AdminForget(session.id(), "/nope.Nope/Nope", ""),
            "no memoized method \"/nope.Nope/Nope\"; a name is like /package.Service/Method");
  EXPECT_EQ(AdminForget(session.id(), "/memo.examples.v1.SlowAdder/Calculate", ""),
            absl::StrCat("session ", session.id(),
                         " has no method \"/memo.examples.v1.SlowAdder/Calculate\""));
  EXPECT_EQ(Get(session, "x"), "hit a:x");
}

}  // namespace
}  // namespace memod
