// A memod in this process, hosting Probe and the examples, and clients of it over real connections.
//
//   TEST_F(MyTest, EqualCallsComputeOnce) {
//     Serve({.probe = {.compute = {.max_entries = 2}}});
//     const SessionHandle session = Open("a");
//     EXPECT_EQ(Get(session, "x"), "miss a:x");
//     EXPECT_EQ(Get(session, "x"), "hit a:x");
//     EXPECT_EQ(Info(session), "hits 1, misses 1, computations 1, currsize 1");
//   }
//
// When a test ends, its sessions are closed and what they shared is cleared, and nothing may be
// left: see TearDown.
#pragma once

#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "memo/v1/admin.grpc.pb.h"
#include "memo/v1/session.grpc.pb.h"
#include "memod/client/client.h"
#include "memod/server/server.h"
#include "memod/tests/testing/call.h"
#include "memod/tests/testing/probe.h"

namespace memod {

// Ports of its own, enough threads for every computation of a test at once, no HTTP, and no limit of
// memory, whatever the machine's.
Config TestConfig();

struct ServeOptions {
  ProbePolicies probe{};
  Config config = TestConfig();
  Server::UsedMemory used_memory = nullptr;
};

// The counters that are not zero and currsize, as in "hits 1, misses 2, currsize 1".
std::string Counts(const memo::v1::CacheInfo& info);
// Policies with this bound of Compute and all else as it comes.
ServeOptions MaxEntries(std::optional<int64_t> max_entries);

class ServerTest : public testing::Test {
 protected:
  // Everything that GetDebugState counts, but for the descriptors, is back to zero.
  void TearDown() override;

  void Serve(const ServeOptions& options = {});
  // Ends it as its owner would who does not wait.
  void StopServer();

  // A session on a new Probe of the state `id`.
  SessionHandle Open(const std::string& id, SessionEvents events = {});
  static memo::testing::v1::ProbeState State(const std::string& id);

  // Calls, waits, and returns Told::Words.
  std::string Get(const SessionHandle& session, const std::string& key,
                  const CallOptions& options = {});
  // Calls and waits; `handle` nullopt: without a session.
  Told Ask(const std::optional<std::string>& handle, std::string_view request,
           const CallOptions& options = {});
  // Calls; the call lives as long as the test.
  Call& Start(const SessionHandle& session, const std::string& key,
              const CallOptions& options = {});
  Call& StartBytes(const std::optional<std::string>& handle, std::string_view request,
                   const CallOptions& options = {});
  // Calls `count` times at once, and waits until all of them have come in.
  std::vector<Call*> StartMany(const SessionHandle& session, const std::string& key, int count,
                               const CallOptions& options = {});

  // A session's cache_info of a method, as its holder sees it.
  memo::v1::CacheInfo CacheInfoOf(const SessionHandle& session, const std::string& method);
  std::string Info(const SessionHandle& session, const std::string& method = kCompute);

  // What an administrator is told: cache_info of a session and a method, empty ones being all.
  memo::v1::AdminServiceGetCacheInfoResponse AdminInfo(const std::string& session_id = "",
                                                       const std::string& method = "");
  // Over all sessions, those closed included.
  std::string Total(const std::string& method = kCompute);
  memo::v1::ServerGauges Gauges();
  // The gauges that are not zero, as in "sessions 1, instances 1, entries 2", or "nothing". Bytes
  // show only when there are any without entries, and all further ones only when there is neither a
  // session nor a flight to have them.
  std::string Alive();
  // All that are not zero, but for bytes where there are entries.
  std::string AliveInFull();
  // Whether it says that soon: an instance, or a flight that was just answered, goes a moment
  // later.
  testing::AssertionResult AliveSoon(const std::string& want) {
    return Soon([&] { return Alive(); }, want);
  }

  std::string target() const;

  Lab lab;
  Registry registry;  // Serve adds Probe and the examples
  std::unique_ptr<Server> server;
  std::optional<Client> client;
  std::unique_ptr<memo::v1::SessionService::Stub> sessions;
  std::unique_ptr<memo::v1::AdminService::Stub> admin;

 private:
  std::deque<Call> calls_;
};

}  // namespace memod
