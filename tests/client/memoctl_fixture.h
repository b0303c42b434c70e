// memoctl as a process, beside a server that answers with fixed figures.
#pragma once

#include <gmock/gmock.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "memo/v1/admin.grpc.pb.h"
#include "memod/tests/client/fake_server.h"
#include "memod/tests/client/process.h"

namespace memod {

inline constexpr char kCalculate[] = "/memo.examples.v1.SlowAdder/Calculate";

// Answers with fixed figures, and knows the session "s1" only.
class FakeAdmin final : public memo::v1::AdminService::Service {
  template <typename Request>
  static grpc::Status Check(const Request& request) {
    if (request.session_id().empty() || request.session_id() == "s1") return grpc::Status::OK;
    return {grpc::StatusCode::NOT_FOUND, "no session " + request.session_id()};
  }
  static void FillReceipt(memo::v1::ReleaseReceipt& receipt) {
    receipt.set_entries(3);
    receipt.set_bytes(1229);
    receipt.set_compute_seconds(2.4);
  }

  grpc::Status GetCacheInfo(grpc::ServerContext*,
                            const memo::v1::AdminServiceGetCacheInfoRequest* request,
                            memo::v1::AdminServiceGetCacheInfoResponse* response) override {
    memo::v1::CacheInfo info;
    info.set_hits(12);
    info.set_misses(3);
    info.set_currsize(3);
    info.set_bytes(1229);
    info.set_compute_seconds_saved(24);
    *response->mutable_total() = info;
    info.set_maxsize(128);
    info.mutable_policy()->set_max_entries(128);
    auto* method = response->add_methods();
    method->set_method(request->method().empty() ? kCalculate : request->method());
    *method->mutable_info() = info;
    if (request->method().empty()) {
      method = response->add_methods();
      method->set_method("/memo.examples.v1.SlowAdder/Fibonacci");
      method->mutable_info()->mutable_policy()->set_scope("session");  // unbounded
    }
    response->mutable_gauges()->set_sessions(1);
    return Check(*request);
  }
  grpc::Status ClearCache(grpc::ServerContext*,
                          const memo::v1::AdminServiceClearCacheRequest* request,
                          memo::v1::AdminServiceClearCacheResponse* response) override {
    FillReceipt(*response->mutable_receipt());
    return Check(*request);
  }
  grpc::Status CloseSession(grpc::ServerContext*,
                            const memo::v1::AdminServiceCloseSessionRequest* request,
                            memo::v1::AdminServiceCloseSessionResponse* response) override {
    FillReceipt(*response->mutable_receipt());
    return Check(*request);
  }
  // The call of the last Forget or ExplainKey.
 public:
  memo::v1::ExplainKeyRequest last_key_request;

 private:
  grpc::Status Forget(grpc::ServerContext*, const memo::v1::AdminServiceForgetRequest* request,
                      memo::v1::AdminServiceForgetResponse* response) override {
    FillReceipt(*response->mutable_receipt());
    *last_key_request.mutable_call() = request->call();
    return Check(request->call());
  }
  static void Explain(const memo::v1::DescribedCall& call, memo::v1::KeyExplanation& key) {
    auto* part = key.add_parts();
    part->set_name("method");
    part->set_value(call.method());
    part->set_bytes(call.method().size());
    part = key.add_parts();
    part->set_name("request");
    part->set_value("one\nand \x1b[31m two");  // what a hostile client could put there
    part->set_bytes(call.request().size());
    for (const auto& entry : call.metadata()) key.add_left_out("metadata " + entry.name());
    key.set_remembered(call.session_id() == "s1");
    key.mutable_age()->set_seconds(3);
  }
  grpc::Status ExplainKey(grpc::ServerContext*, const memo::v1::ExplainKeyRequest* request,
                          memo::v1::ExplainKeyResponse* response) override {
    last_key_request = *request;
    Explain(request->call(), *response->mutable_key());
    if (request->has_other()) {
      Explain(request->other(), *response->mutable_other());
      response->add_differences("request: 2 bytes, and 3");
    }
    return Check(request->call());
  }
  // Two pages of one session each.
  grpc::Status ListSessions(grpc::ServerContext*, const memo::v1::ListSessionsRequest* request,
                            memo::v1::ListSessionsResponse* response) override {
    const bool first = request->page_token().empty();
    auto* session = response->add_sessions();
    session->set_session_id(first ? "s1" : "s2");
    session->set_peer("ipv4:127.0.0.1:5000");
    session->mutable_age()->set_seconds(182);
    if (first) session->set_state_type("memo.examples.v1.SlowAdderState");
    if (first) response->set_next_page_token("s1");
    return grpc::Status::OK;
  }
  grpc::Status ListMethods(grpc::ServerContext*, const memo::v1::ListMethodsRequest*,
                           memo::v1::ListMethodsResponse* response) override {
    auto* method = response->add_methods();
    method->set_method(kCalculate);
    method->set_state_type("memo.examples.v1.SlowAdderState");
    method->mutable_policy()->set_max_entries(128);
    method->mutable_policy()->set_max_entry_bytes(1 << 20);
    method->mutable_policy()->mutable_compute_timeout()->set_seconds(300);
    method->mutable_policy()->set_coalesce(true);
    method->mutable_policy()->set_scope("session");
    return grpc::Status::OK;
  }
  grpc::Status GetDebugState(grpc::ServerContext*, const memo::v1::GetDebugStateRequest*,
                             memo::v1::GetDebugStateResponse* response) override {
    response->mutable_gauges()->set_sessions(7);
    response->mutable_gauges()->set_unsent_bytes(2048);
    response->set_descriptors(31);
    return grpc::Status::OK;
  }
};

// A file of this test's, gone with it.
class TempFile {
 public:
  explicit TempFile(const std::string& text) {
    const int file = mkstemp(path_.data());
    close(file);
    std::ofstream(path_, std::ios::binary) << text;
  }
  ~TempFile() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_ = testing::TempDir() + "memoctl_test_XXXXXX";
};

class MemoctlTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { grpc::reflection::InitProtoReflectionServerBuilderPlugin(); }

  struct Run {
    int exit = 0;
    std::string out;
    std::string err;
  };
  std::vector<std::string> Environment(std::vector<std::string> more = {}) const {
    more.push_back("MEMOCTL_SERVER=" + server.address());
    more.push_back("MEMOCTL_ADMIN=" + server.address());
    return more;
  }
  std::vector<std::string> Command(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), MEMOCTL);
    return arguments;
  }
  // `environment`: beside the server's addresses.
  Run Memoctl(std::vector<std::string> arguments, std::vector<std::string> environment = {}) {
    Process process(Command(std::move(arguments)), Environment(std::move(environment)));
    process.EndInput();
    Run run;
    run.out = process.ReadOutput();
    run.err = process.ReadErrors();
    run.exit = process.Wait();
    return run;
  }
  // The state that `memoctl open` with these arguments sends.
  template <typename State>
  State StateSent(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "open");
    Process process(Command(std::move(arguments)), Environment());
    EXPECT_THAT(process.ReadLine(), testing::StartsWith("handle"));
    State state;
    EXPECT_TRUE(server.sessions.last_request().state().UnpackTo(&state));
    return state;
  }

  FakeAdmin admin;
  FakeServer server{{&admin}};
};

}  // namespace memod
