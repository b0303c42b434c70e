// PipelineService, spoken with the generated classes.
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "memod/tests/testing/raw_pipeline.h"
#include "memod/tests/testing/server_test.h"

namespace memod {
namespace {

using memo::v1::CallRequest;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

class PipelineTest : public ServerTest {
 protected:
  RawPipeline Pipeline(const SessionHandle& session) {
    return RawPipeline(client->channel(), session.handle());
  }
  // A call of `key` computes only once the gate of that name is open.
  void Gated(const std::string& key) {
    lab.On(key, [this, key](Computing& computing) -> absl::StatusOr<std::string> {
      lab.gate(key).Pass();
      return computing.self + ":" + key;
    });
  }
};

TEST_F(PipelineTest, ManyCallsInOneMessageAreEachAnswered) {
  Serve();
  const SessionHandle session = Open("a");
  RawPipeline pipeline = Pipeline(session);
  pipeline.Send(1, {"x", "y", "z"});
  EXPECT_EQ(pipeline.Words(1), "miss a:x");
  EXPECT_EQ(pipeline.Words(2), "miss a:y");
  EXPECT_EQ(pipeline.Words(3), "miss a:z");
  pipeline.Send(4, {"x", "new", "z"});
  EXPECT_EQ(pipeline.Words(4), "hit a:x");
  EXPECT_EQ(pipeline.Words(5), "miss a:new");
  EXPECT_EQ(pipeline.Words(6), "hit a:z");
  EXPECT_EQ(Info(session), "hits 2, misses 4, computations 4, currsize 4");
  pipeline.HalfClose();
  EXPECT_EQ(pipeline.End(), "OK");
}

TEST_F(PipelineTest, SlowMissHoldsUpNoHit) {
  Serve();
  const SessionHandle session = Open("a");
  Gated("slow");
  RawPipeline pipeline = Pipeline(session);
  EXPECT_EQ(pipeline.Get("x"), "miss a:x");
  pipeline.Send(1, {"slow", "x"});  // in one message
  EXPECT_EQ(pipeline.Words(2), "hit a:x");
  pipeline.Send(3, {"x", "y"});  // and in the next
  EXPECT_EQ(pipeline.Words(3), "hit a:x");
  EXPECT_EQ(pipeline.Words(4), "miss a:y");
  EXPECT_FALSE(pipeline.answers().contains(1));
  lab.gate("slow").Open();
  EXPECT_EQ(pipeline.Words(1), "miss a:slow");
}

}  // namespace
}  // namespace memod
