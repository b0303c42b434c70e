// What an administrator sees and does, over the admin port.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memod/tests/testing/server_test.h"

namespace memod {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class AdminTest : public ServerTest {
 protected:
  template <typename Request, typename Response>
  grpc::Status Do(grpc::Status (memo::v1::AdminService::Stub::*rpc)(grpc::ClientContext*,
                                                                    const Request&, Response*),
                  const Request& request, Response* response) {
    grpc::ClientContext context;
    return (admin.get()->*rpc)(&context, request, response);
  }
  // The entries that it dropped, or the error.
  std::string Clear(const std::string& session_id, const std::string& method) {
    memo::v1::AdminServiceClearCacheRequest request;
    request.set_session_id(session_id);
    request.set_method(method);
    memo::v1::AdminServiceClearCacheResponse response;
    const grpc::Status status = Do(&memo::v1::AdminService::Stub::ClearCache, request, &response);
    if (!status.ok()) return status.error_message();
    return absl::StrCat(response.receipt().entries(), " entries");
  }
  memo::v1::ListSessionsResponse List(int page_size, const std::string& page_token) {
    memo::v1::ListSessionsRequest request;
    request.set_page_size(page_size);
    request.set_page_token(page_token);
    memo::v1::ListSessionsResponse response;
    EXPECT_TRUE(Do(&memo::v1::AdminService::Stub::ListSessions, request, &response).ok());
    return response;
  }
};

TEST_F(AdminTest, CacheInfoAtFourLevels) {
  Serve(MaxEntries(3));
  const SessionHandle a = Open("a");
  const SessionHandle b = Open("b");
  Get(a, "x");
  Get(a, "x");
  Get(a, "x", {.method = kOther});
  Get(b, "x");
  Get(b, "x", {.method = kShared});
  const auto of_all = AdminInfo().total();
  EXPECT_EQ(Counts(of_all), "hits 1, misses 4, computations 4, currsize 4");
  EXPECT_FALSE(of_all.has_maxsize()) << "of different bounds";
  EXPECT_FALSE(of_all.has_policy());
  EXPECT_EQ(Counts(AdminInfo("", kCompute).total()),
            "hits 1, misses 2, computations 2, currsize 2");
  EXPECT_EQ(Counts(AdminInfo(a.id()).total()), "hits 1, misses 2, computations 2, currsize 2");
  const auto of_one = AdminInfo(a.id(), kCompute).total();
  EXPECT_EQ(Counts(of_one), "hits 1, misses 1, computations 1, currsize 1");
  EXPECT_EQ(of_one.maxsize(), 3);
  EXPECT_EQ(of_one.SerializeAsString(), CacheInfoOf(a, kCompute).SerializeAsString());
}

TEST_F(AdminTest, CacheInfoSumsItsParts) {
  Serve();
  const SessionHandle a = Open("a");
  for (const char* method : {kCompute, kOther, kShared, kStatic}) Get(a, "x", {.method = method});
  const auto info = AdminInfo();
  int64_t misses = 0, bytes = 0;
  for (const auto& part : info.methods()) {
    misses += part.info().misses();
    bytes += part.info().bytes();
  }
  EXPECT_EQ(info.methods_size(), 9);
  EXPECT_EQ(info.total().misses(), misses);
  EXPECT_EQ(info.total().bytes(), bytes);
  EXPECT_EQ(info.gauges().bytes(), bytes);
}

TEST_F(AdminTest, ClearAtFourLevels) {
  Serve();
  const SessionHandle a = Open("a");
  const SessionHandle b = Open("b");
  const auto fill = [&] {
    for (const SessionHandle* session : {&a, &b}) {
      for (const char* method : {kCompute, kOther, kShared}) Get(*session, "x", {.method = method});
    }
  };
  fill();
  EXPECT_EQ(Clear(a.id(), kCompute), "1 entries");
  EXPECT_EQ(AdminInfo().gauges().entries(), 4);
  fill();
  EXPECT_EQ(Clear(a.id(), ""), "2 entries");
  EXPECT_EQ(AdminInfo().gauges().entries(), 3);
  fill();
  EXPECT_EQ(Clear("", kCompute), "2 entries");
  EXPECT_EQ(Total(), "currsize 0");
  EXPECT_NE(Total(kOther), "currsize 0");
  fill();
  EXPECT_EQ(Clear("", ""), "5 entries");
  EXPECT_EQ(Counts(AdminInfo().total()), "currsize 0");
}

TEST_F(AdminTest, SessionsAreListedInPagesWithoutTheirHandles) {
  Serve();
  std::vector<std::string> opened;
  std::vector<SessionHandle> handles;
  for (int i = 0; i < 5; ++i) {
    handles.push_back(Open(absl::StrCat(i)));
    Get(handles.back(), "x");
    opened.push_back(handles.back().id());
  }
  std::vector<std::string> listed;
  std::string token;
  int pages = 0;
  do {
    const auto page = List(2, token);
    EXPECT_LE(page.sessions_size(), 2);
    for (const auto& session : page.sessions()) {
      listed.push_back(session.session_id());
      EXPECT_EQ(session.state_type(), "memo.testing.v1.ProbeState");
      EXPECT_THAT(session.peer(), HasSubstr("127.0.0.1"));
      EXPECT_EQ(Counts(session.total()), "misses 1, computations 1, currsize 1");
    }
    for (const auto& handle : handles) {
      EXPECT_EQ(page.DebugString().find(handle.handle()), std::string::npos);
    }
    token = page.next_page_token();
    ASSERT_LT(++pages, 10);
  } while (!token.empty());
  EXPECT_EQ(listed, opened);
  EXPECT_EQ(List(0, "").sessions_size(), 5);
}

TEST_F(AdminTest, MethodsAreListedWithTypesAndPolicies) {
  Serve(MaxEntries(3));
  memo::v1::ListMethodsResponse response;
  ASSERT_TRUE(
      Do(&memo::v1::AdminService::Stub::ListMethods, memo::v1::ListMethodsRequest(), &response)
          .ok());
  std::vector<std::string> names;
  for (const auto& method : response.methods()) names.push_back(method.method());
  EXPECT_THAT(
      names,
      ElementsAre("/memo.examples.v1.Dataset/Correlate", "/memo.examples.v1.Dataset/Describe",
                  "/memo.examples.v1.SlowAdder/Calculate", "/memo.examples.v1.SlowAdder/Fibonacci",
                  kCompute, kOther, kProperty, kShared, kStatic));
  const auto& compute = response.methods(4);
  EXPECT_EQ(compute.request_type(), "memo.testing.v1.ProbeRequest");
  EXPECT_EQ(compute.response_type(), "memo.testing.v1.ProbeResponse");
  EXPECT_EQ(compute.state_type(), "memo.testing.v1.ProbeState");
  EXPECT_EQ(compute.policy().max_entries(), 3);
  EXPECT_EQ(compute.policy().scope(), "session");
  const auto& shared = response.methods(7);
  EXPECT_EQ(shared.state_type(), "");
  EXPECT_EQ(shared.policy().scope(), "server");
}

TEST_F(AdminTest, WhatIsNotThereIsNotFound) {
  Serve();
  const SessionHandle session = Open("a");
  EXPECT_THAT(Clear("nope", ""), HasSubstr("no open session \"nope\""));
  EXPECT_THAT(Clear("", "nope"), HasSubstr("no memoized method \"nope\""));
  memo::v1::AdminServiceGetCacheInfoRequest request;
  memo::v1::AdminServiceGetCacheInfoResponse response;
  const auto code = [&](const std::string& session_id, const std::string& method) {
    request.set_session_id(session_id);
    request.set_method(method);
    return Do(&memo::v1::AdminService::Stub::GetCacheInfo, request, &response).error_code();
  };
  EXPECT_EQ(code("nope", ""), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(code("", "nope"), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(code(session.id(), kShared), grpc::StatusCode::NOT_FOUND) << "not of a session";
  EXPECT_EQ(code(session.handle(), ""), grpc::StatusCode::NOT_FOUND) << "a handle is no id";
}

TEST_F(AdminTest, BadArgumentsAreInvalid) {
  Serve();
  memo::v1::AdminServiceCloseSessionResponse closed;
  EXPECT_EQ(Do(&memo::v1::AdminService::Stub::CloseSession,
               memo::v1::AdminServiceCloseSessionRequest(), &closed)
                .error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  memo::v1::ListSessionsRequest list;
  list.set_page_size(-1);
  memo::v1::ListSessionsResponse listed;
  EXPECT_EQ(Do(&memo::v1::AdminService::Stub::ListSessions, list, &listed).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(AdminTest, DataPortHasNothingAdministrative) {
  Serve();
  for (const char* rpc : {"GetCacheInfo", "ClearCache", "Forget", "ExplainKey", "CloseSession",
                          "ListSessions", "ListMethods"}) {
    EXPECT_EQ(Ask(std::nullopt, "", {.method = absl::StrCat("/memo.v1.AdminService/", rpc)})
                  .status.error_code(),
              grpc::StatusCode::UNIMPLEMENTED);
  }
}

}  // namespace
}  // namespace memod
