// A service whose instances live for one web request each: the class-level cache that a decorated
// method has would keep an entry, and with it an instance, for every one of them.
#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "memod/tests/testing/scale.h"
#include "memod/tests/testing/server_test.h"

namespace memod {
namespace {

// Without what is freed and which malloc only keeps, in an arena for each of gRPC's threads: their
// number depends on what else the machine does.
int64_t ResidentBytes() {
  malloc_trim(0);
  int64_t size = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

class RequestsTest : public ServerTest {
 protected:
  // As a web request does: open, call, let go. Without the client library, whose own memory would
  // be measured, too.
  void OneRequest() {
    grpc::ClientContext context;
    memo::v1::OpenSessionRequest request;
    request.mutable_state()->PackFrom(State("request"));
    const auto stream = sessions->OpenSession(&context, request);
    memo::v1::OpenSessionResponse response;
    ASSERT_TRUE(stream->Read(&response));
    ASSERT_EQ(Ask(response.opened().handle(), Request("equal")).Words(), "miss request:equal");
    context.TryCancel();
    while (stream->Read(&response)) {
    }
    stream->Finish();
  }
};

TEST_F(RequestsTest, ServiceWithInstancesPerRequestKeepsMemoryFlat) {
  Serve(MaxEntries(std::nullopt));
  const int count = Scaled(100'000);
  int64_t before = 0;
  for (int i = 0; i < count && !HasFatalFailure(); ++i) {
    if (i == count / 5) before = ResidentBytes();
    OneRequest();
  }
  EXPECT_TRUE(AliveSoon("nothing"));
  EXPECT_EQ(Total(), "misses " + std::to_string(count) + ", computations " + std::to_string(count) +
                         ", currsize 0");
#ifndef __SANITIZE_ADDRESS__  // which keeps for a while what is freed
  // Of 80,000 sessions: 52 bytes each. It is about 200 kB in all.
  EXPECT_LT(ResidentBytes() - before, 4 << 20);
#endif
}

}  // namespace
}  // namespace memod
