// A memod in this process before a FakeUpstream.
//
//   TEST_F(MyTest, RepeatedCallIsAHit) {
//     ServeBefore({Remote()});
//     const SessionHandle session = Open("a");
//     EXPECT_EQ(Get(session, "x", kRemote), "miss x");
//     EXPECT_EQ(Get(session, "x", kRemote), "hit x");
//     EXPECT_EQ(upstream.calls(kRemote), 1);
//   }
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "memod/tests/testing/fake_upstream.h"
#include "memod/tests/testing/server_test.h"
#include "memod/tests/testing/stream_call.h"

namespace memod {

// Methods of the upstream: one that computes what the lab says (probe.h) from the same messages as
// Probe's, one that nobody has said anything of, and one of which memod's descriptor set says that it
// is unary.
inline constexpr char kRemote[] = "/upstream.v1.Slow/Compute";
inline constexpr char kEcho[] = "/upstream.v1.Plain/Echo";
inline constexpr char kKnown[] = "/upstream.v1.Known/Get";

class UpstreamTest : public ServerTest {
 protected:
  UpstreamTest();
  // Nothing goes on at the upstream either.
  void TearDown() override;

  // The upstream serves what is not hosted; `methods` of it are memoized.
  void ServeBefore(std::vector<MethodConfig> methods = {}, ServeOptions options = {});
  // A memoized method, and what is set of it.
  static MethodConfig Remote(const std::function<void(MethodConfig&)>& set = nullptr,
                             const std::string& name = kRemote);
  // The same, shared by everybody.
  static MethodConfig Public(std::function<void(MethodConfig&)> set = nullptr,
                             const std::string& name = kRemote);

  using ServerTest::Get;
  std::string Get(const SessionHandle& session, const std::string& key, const std::string& method,
                  const std::string& control = "");
  // Without a session.
  Told AskRemote(const std::string& key, CallOptions options = {});

  // What computing `key` at the upstream does, where the lab's script is not enough.
  void OnRemote(const std::string& key, FakeUpstream::Script script);
  // Whether so many calls are with the upstream soon.
  testing::AssertionResult InProgressSoon(int want) {
    return Soon([&] { return upstream.in_progress(); }, want);
  }
  // memod, and the upstream past it. The same each time.
  std::shared_ptr<grpc::Channel> through();
  std::shared_ptr<grpc::Channel> direct();

  FakeUpstream upstream;

 private:
  std::mutex mutex_;
  std::map<std::string, FakeUpstream::Script> scripts_;
  std::shared_ptr<grpc::Channel> through_;
  std::shared_ptr<grpc::Channel> direct_;
};

// The key of the ProbeRequest that a call begins with.
std::string ReadKey(UpstreamCall& call);
// The bytes of a ProbeResponse.
std::string Response(const std::string& value);

}  // namespace memod
