// What a unary hit allocates beyond a bare gRPC service that answers the same: a count, never time.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "memod/tests/testing/server_test.h"
#include "testing/probe.grpc.pb.h"

// Of the whole process: gRPC's own, which is in C and C++, client and server.
extern "C" {
void* __libc_malloc(size_t size) noexcept;
void* __libc_calloc(size_t count, size_t size) noexcept;
void* __libc_realloc(void* block, size_t size) noexcept;
}

namespace {
std::atomic<int64_t> allocations{0};
}  // namespace

extern "C" {
void* malloc(size_t size) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_calloc(count, size);
}
void* realloc(void* block, size_t size) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_realloc(block, size);
}
}

namespace memod {
namespace {

using memo::testing::v1::Probe;
using memo::testing::v1::ProbeRequest;
using memo::testing::v1::ProbeResponse;

// An answer of 64 bytes, with its tag and length: what row 1 of the benchmarks answers.
const std::string kKey(60, 'x');
const std::string kAnswer = "a:" + kKey;

class BareProbe final : public Probe::CallbackService {
  grpc::ServerUnaryReactor* Compute(grpc::CallbackServerContext* context, const ProbeRequest*,
                                    ProbeResponse* response) override {
    response->set_value(kAnswer);
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

// How many a call takes, client and server: of many calls, one after the other.
double AllocationsPerCall(const std::string& target, const std::string& handle,
                          const std::string& request) {
  constexpr int kCalls = 4000;
  grpc::GenericStub stub(grpc::CreateChannel(target, grpc::InsecureChannelCredentials()));
  grpc::CompletionQueue queue;
  const auto call = [&](int times) {
    for (int i = 0; i < times; ++i) {
      grpc::ClientContext context;
      context.AddMetadata("memo-session", handle);
      const grpc::Slice slice(request);
      auto reader = stub.PrepareUnaryCall(&context, kCompute, grpc::ByteBuffer(&slice, 1), &queue);
      reader->StartCall();
      grpc::ByteBuffer response;
      grpc::Status status;
      reader->Finish(&response, &status, nullptr);
      void* tag;
      bool ok;
      ASSERT_TRUE(queue.Next(&tag, &ok));
      ASSERT_TRUE(status.ok()) << status.error_message();
    }
  };
  call(kCalls / 4);  // until the connection and what it keeps is as it stays
  const int64_t before = allocations.load();
  call(kCalls);
  return static_cast<double>(allocations.load() - before) / kCalls;
}

using HitAllocationsTest = ServerTest;

TEST_F(HitAllocationsTest, AreAFewMoreThanOfABareService) {
  Serve();
  const SessionHandle session = Open("a");
  ASSERT_EQ(Get(session, kKey), "miss " + kAnswer);
  BareProbe service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const auto bare = builder.BuildAndStart();

  const double of_memod = AllocationsPerCall(target(), session.handle(), Request(kKey));
  const double of_bare =
      AllocationsPerCall("127.0.0.1:" + std::to_string(port), session.handle(), Request(kKey));

  // Six for memod, all within gRPC: a node for each entry of metadata that came and each that goes
  // out, their array, and the reference of the answer's slice. Three for the other: the message that
  // it makes, and its bytes.
  EXPECT_LE(of_memod - of_bare, 3.5) << of_memod << " and " << of_bare;
  bare->Shutdown();
}

}  // namespace
}  // namespace memod
