// What a client can get wrong. Each of it is told, and the server goes on; see TearDown for leaks.
#include <gmock/gmock.h>
#include <google/protobuf/any.pb.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "memo/examples/v1/slow_adder.pb.h"
#include "memod/tests/testing/server_test.h"
#include "memod/tests/testing/stream_call.h"

namespace memod {
namespace {

using testing::HasSubstr;

constexpr char kUndecodable[] = "\xff\xff\xff";

class BadInputTest : public ServerTest {
 protected:
  // What opening a session with this is told.
  Told OpenWith(const memo::v1::OpenSessionRequest& request) {
    grpc::ClientContext context;
    const auto stream = sessions->OpenSession(&context, request);
    memo::v1::OpenSessionResponse response;
    EXPECT_FALSE(stream->Read(&response));
    Told told{.status = stream->Finish(), .bytes = "", .metadata = {}, .trailers = {}};
    for (const auto& [name, value] : context.GetServerTrailingMetadata()) {
      told.trailers.emplace(std::string(name.data(), name.size()),
                            std::string(value.data(), value.size()));
    }
    return told;
  }
  static memo::v1::OpenSessionRequest StateOf(const std::string& type, const std::string& bytes) {
    memo::v1::OpenSessionRequest request;
    request.mutable_state()->set_type_url("type.googleapis.com/" + type);
    request.mutable_state()->set_value(bytes);
    return request;
  }
};

TEST_F(BadInputTest, UnknownMethodIsUnimplemented) {
  Serve();
  const SessionHandle session = Open("a");
  for (const char* method :
       {"/memo.testing.v1.Probe/Nope", "/nope.Nope/Nope", "/memo.v1.AdminService/ListSessions"}) {
    EXPECT_EQ(Ask(session.handle(), "", {.method = method}).status.error_code(),
              grpc::StatusCode::UNIMPLEMENTED)
        << method;
  }
}

TEST_F(BadInputTest, NoHandleWhereOneIsNeededNamesTheMetadata) {
  Serve();
  const std::string session_service = "/memo.v1.SessionService/";
  for (const std::string& method :
       {std::string(kCompute), std::string(kProperty), session_service + "UpdateState",
        session_service + "CloseSession", session_service + "ClearCache",
        session_service + "GetCacheInfo"}) {
    const Told told = Ask(std::nullopt, "", {.method = method});
    EXPECT_EQ(told.Words(), "FAILED_PRECONDITION SESSION_REQUIRED") << method;
    EXPECT_THAT(told.status.error_message(), HasSubstr("memo-session")) << method;
  }
}

TEST_F(BadInputTest, SessionOfAnotherClassNamesTheStateThatIsNeeded) {
  Serve();
  const SessionHandle adder = client->OpenSession(memo::examples::v1::SlowAdderState()).value();
  const SessionHandle stateless = client->OpenSession().value();
  const Told told = Ask(adder.handle(), Request("x"));
  EXPECT_EQ(told.Words(), "FAILED_PRECONDITION SESSION_MISMATCH");
  EXPECT_EQ(told.status.error_message(),
            "/memo.testing.v1.Probe/Compute needs a session opened with a "
            "memo.testing.v1.ProbeState; this one has a memo.examples.v1.SlowAdderState");
  EXPECT_EQ(Ask(stateless.handle(), Request("x")).Words(), "FAILED_PRECONDITION SESSION_MISMATCH");
  EXPECT_EQ(Get(stateless, "x", {.method = kShared}), "miss x") << "which needs no instance";
  EXPECT_EQ(adder.GetCacheInfo(kCompute).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(BadInputTest, UndecodableRequestNamesTheMessageAndIsNotRemembered) {
  Serve();
  const SessionHandle session = Open("a");
  const Told told = Ask(session.handle(), kUndecodable);
  EXPECT_EQ(told.Words(), "INVALID_ARGUMENT BAD_REQUEST");
  EXPECT_EQ(told.status.error_message(), "the request is not a valid memo.testing.v1.ProbeRequest");
  const std::string not_utf8 = "\x0a\x01\xff";
  EXPECT_EQ(Ask(session.handle(), not_utf8).Words(), "INVALID_ARGUMENT BAD_REQUEST");
  EXPECT_EQ(CacheInfoOf(session, kCompute).currsize(), 0);
  EXPECT_EQ(CacheInfoOf(session, kCompute).errors(), 2);
}

TEST_F(BadInputTest, UndecodableRequestAboutASessionNamesTheMessage) {
  Serve();
  const SessionHandle session = Open("a");
  for (const std::string name : {"OpenSession", "LeaseSession", "RenewSession", "UpdateState",
                                 "CloseSession", "ClearCache", "Forget", "GetCacheInfo"}) {
    const Told told =
        Ask(session.handle(), kUndecodable, {.method = "/memo.v1.SessionService/" + name});
    EXPECT_EQ(told.Words(), "INVALID_ARGUMENT BAD_REQUEST") << name;
    EXPECT_EQ(told.status.error_message(),
              absl::StrCat("the request is not a valid memo.v1.", name, "Request"));
  }
  EXPECT_EQ(Get(session, "x"), "miss a:x");
}

TEST_F(BadInputTest, CallAboutASessionWithoutARequestIsToldSo) {
  Serve();
  const SessionHandle session = Open("a");
  const auto channel = grpc::CreateChannel(target(), grpc::InsecureChannelCredentials());
  for (const std::string name : {"OpenSession", "LeaseSession", "RenewSession", "CloseSession"}) {
    StreamCall call(channel, "/memo.v1.SessionService/" + name,
                    {.metadata = {{"memo-session", session.handle()}}});
    call.HalfClose();
    EXPECT_EQ(call.Finish().Words(), "INTERNAL: the call ended without a request message") << name;
  }
  EXPECT_EQ(Get(session, "x"), "miss a:x");
}

// Eight million strings, had they been decoded.
TEST_F(BadInputTest, RenewalsThatTakeFarMoreToDecodeThanToSendAreNotDecoded) {
  Serve();
  const SessionHandle session = Open("a");
  std::string request;
  for (int i = 0; i < 8'000'000; ++i) request += std::string("\x0a\x00", 2);
  const Told told =
      Ask(session.handle(), request, {.method = "/memo.v1.SessionService/RenewSession"});
  EXPECT_EQ(told.Words(), "INVALID_ARGUMENT BAD_REQUEST");
  EXPECT_EQ(told.status.error_message(), "the request is 16000000 bytes; want at most 1048576");
}

TEST_F(BadInputTest, UndecodableStateNamesTheMessage) {
  Serve();
  const Told told = OpenWith(StateOf("memo.testing.v1.ProbeState", kUndecodable));
  EXPECT_EQ(told.Words(), "INVALID_ARGUMENT BAD_REQUEST");
  EXPECT_EQ(told.status.error_message(), "the state is not a valid memo.testing.v1.ProbeState");
}

TEST_F(BadInputTest, UnknownTypeOfStateNamesThoseThatAreTaken) {
  Serve();
  for (const char* type : {"nope.Nope", "", "memo.testing.v1.ProbeRequest"}) {
    const Told told = OpenWith(StateOf(type, ""));
    EXPECT_EQ(told.Words(), "INVALID_ARGUMENT BAD_REQUEST");
    EXPECT_EQ(told.status.error_message(),
              absl::StrCat("no hosted class takes a state of type \"", type,
                           "\"; those taken: memo.testing.v1.ProbeState, "
                           "memo.examples.v1.SlowAdderState, memo.examples.v1.DatasetState"));
  }
}

TEST_F(BadInputTest, UndecodableMessageOfOurOwnIsRefused) {
  Serve();
  const SessionHandle session = Open("a");
  for (const char* rpc : {"UpdateState", "ClearCache", "GetCacheInfo"}) {
    EXPECT_FALSE(Ask(session.handle(), kUndecodable,
                     {.method = absl::StrCat("/memo.v1.SessionService/", rpc)})
                     .status.ok());
  }
  EXPECT_EQ(Get(session, "x"), "miss a:x");
}

TEST_F(BadInputTest, NoMessageIsAnErrorNeverAnEmptyOne) {
  Serve();
  const SessionHandle session = Open("a");
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  context.AddMetadata("memo-session", session.handle());
  const auto call = grpc::GenericStub(client->channel()).PrepareCall(&context, kCompute, &queue);
  grpc::ByteBuffer response;
  grpc::Status status;
  const auto step = [&queue](auto begin) {
    begin();
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  EXPECT_TRUE(step([&] { call->StartCall(nullptr); }));
  step([&] { call->WritesDone(nullptr); });  // the call may be over by then
  EXPECT_FALSE(step([&] { call->Read(&response, nullptr); }));
  EXPECT_TRUE(step([&] { call->Finish(&status, nullptr); }));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(status.error_message(), "the call ended without a request message");
  EXPECT_EQ(Info(session), "currsize 0");
}

TEST_F(BadInputTest, UnknownControlNamesTheWordsThereAre) {
  Serve();
  const SessionHandle session = Open("a");
  for (const char* word : {"nope", "Bypass", "bypass, refresh", " "}) {
    const Told told = Ask(session.handle(), Request("x"), {.metadata = {{"memo-control", word}}});
    EXPECT_EQ(told.Words(), "INVALID_ARGUMENT BAD_REQUEST") << word;
    EXPECT_EQ(told.status.error_message(),
              "the metadata memo-control is one of: bypass, refresh, no-store, only-if-cached");
  }
  const CallOptions twice{.metadata = {{"memo-control", "bypass"}, {"memo-control", "refresh"}}};
  EXPECT_EQ(Get(session, "x", twice), "INVALID_ARGUMENT BAD_REQUEST");
  EXPECT_EQ(Info(session), "currsize 0");
}

TEST_F(BadInputTest, CompressedRequestIsUnimplemented) {
  Serve();
  const SessionHandle session = Open("a");
  const std::string compressible(10'000, 'x');
  for (const auto algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    const Told told = Ask(session.handle(), Request(compressible), {.compression = algorithm});
    EXPECT_EQ(told.status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
    EXPECT_THAT(told.status.error_message(), HasSubstr("ompress"));
  }
  EXPECT_EQ(lab.computed(compressible), 0);
  EXPECT_EQ(Get(session, "x"), "miss a:x") << "the connection is still good";
}

TEST_F(BadInputTest, UnknownMethodOfCacheInfoAndClearIsNotFound) {
  Serve();
  SessionHandle session = Open("a");
  for (const char* method : {"nope", "/memo.testing.v1.Probe/Nope", kShared}) {
    EXPECT_EQ(session.GetCacheInfo(method).status().code(), absl::StatusCode::kNotFound);
    EXPECT_THAT(std::string(session.ClearCache(method).status().message()), HasSubstr(method));
  }
}

// Errors of the application's own

TEST_F(BadInputTest, ErrorOfAMethodKeepsItsCodeMessageAndDetails) {
  Serve();
  const SessionHandle session = Open("a");
  const std::string detail = "\x0a\x05hello";  // google.protobuf.StringValue
  lab.On("x", [&](Computing&) -> absl::StatusOr<std::string> {
    absl::Status status(absl::StatusCode::kDataLoss, "größer\nthan before");
    status.SetPayload("type.googleapis.com/google.protobuf.StringValue", absl::Cord(detail));
    return status;
  });
  const Told told = Ask(session.handle(), Request("x"));
  EXPECT_EQ(told.status.error_code(), grpc::StatusCode::DATA_LOSS);
  EXPECT_EQ(told.status.error_message(), "größer\nthan before");
  EXPECT_EQ(told.Trailer("memo-error"), "");
  EXPECT_EQ(told.Metadata("memo-cache"), "");
  google::protobuf::Any any;
  any.set_type_url("type.googleapis.com/google.protobuf.StringValue");
  any.set_value(detail);
  const std::string bytes = any.SerializeAsString();
  // google.rpc.Status{code, message, details}
  EXPECT_EQ(told.status.error_details(), absl::StrCat("\x08\x0f\x12\x14größer\nthan before\x1a",
                                                      std::string(1, bytes.size()), bytes));
}

TEST_F(BadInputTest, EveryCodeOfAMethodGoesThroughUnchanged) {
  Serve();
  const SessionHandle session = Open("a");
  for (int code = 1; code <= 16; ++code) {
    const std::string key = absl::StrCat(code);
    lab.On(key, [code](Computing&) {
      return absl::Status(static_cast<absl::StatusCode>(code), "because");
    });
    const Told told = Ask(session.handle(), Request(key));
    EXPECT_EQ(told.status.error_code(), code);
    EXPECT_EQ(told.status.error_message(), "because");
    EXPECT_EQ(told.status.error_details(), "");
    EXPECT_EQ(told.Trailer("memo-error"), "");
  }
  EXPECT_EQ(Info(session), "misses 16, computations 16, errors 16, currsize 0");
}

}  // namespace
}  // namespace memod
