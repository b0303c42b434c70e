#include "memod/tests/testing/server_test.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "memod/server/examples/examples.h"

namespace memod {
namespace {

constexpr int kThreads = 16;
// Less than drain_timeout: a server without calls drains at once.
constexpr std::chrono::seconds kDrained(5);

// "hits 1, misses 2": of those that are not zero.
std::string NonZero(const std::vector<std::pair<std::string, int64_t>>& numbers) {
  std::vector<std::string> parts;
  for (const auto& [name, number] : numbers) {
    if (number != 0) parts.push_back(absl::StrCat(name, " ", number));
  }
  return absl::StrJoin(parts, ", ");
}

// The first `count` of them, as Alive says it.
std::string Words(const memo::v1::ServerGauges& gauges, int count) {
  std::vector<std::pair<std::string, int64_t>> alive;
  for (int i = 0; i < count; ++i) {
    const auto* field = gauges.GetDescriptor()->field(i);
    if (field->name() == "bytes" && gauges.entries() > 0) continue;
    alive.emplace_back(field->name(), gauges.GetReflection()->GetInt64(gauges, field));
  }
  const std::string words = NonZero(alive);
  return words.empty() ? "nothing" : words;
}

}  // namespace

Config TestConfig() {
  Config config;
  config.server.listen = "127.0.0.1:0";
  config.admin.listen = "127.0.0.1:0";
  config.admin.http = "";
  config.server.max_memory = std::nullopt;
  config.compute.threads = kThreads;
  return config;
}

ServeOptions MaxEntries(std::optional<int64_t> max_entries) {
  ServeOptions options;
  options.probe.compute.max_entries = max_entries;
  return options;
}

std::string Counts(const memo::v1::CacheInfo& info) {
  const std::string counters = NonZero({{"hits", info.hits()},
                                        {"misses", info.misses()},
                                        {"coalesced", info.coalesced()},
                                        {"computations", info.computations()},
                                        {"errors", info.errors()},
                                        {"evictions", info.evictions()},
                                        {"expirations", info.expirations()},
                                        {"too_large", info.too_large()}});
  return absl::StrCat(counters, counters.empty() ? "" : ", ", "currsize ", info.currsize());
}

void ServerTest::TearDown() {
  lab.OpenGates();
  calls_.clear();
  if (server == nullptr) return;
  memo::v1::AdminServiceClearCacheResponse cleared;
  grpc::ClientContext context;
  EXPECT_TRUE(admin->ClearCache(&context, {}, &cleared).ok());
  EXPECT_TRUE(AliveSoon("nothing"));
  EXPECT_EQ(lab.instances(), 0);
  const Time begin = Clock::now();
  server->Drain();
  EXPECT_LT(Clock::now() - begin, kDrained) << "calls are still in flight";
  StopServer();
}

void ServerTest::Serve(const ServeOptions& options) {
  RegisterProbe(registry, options.probe);
  examples::Register(registry);
  server = Server::Start(options.config, registry, options.used_memory).value();
  client = Client::Connect(target()).value();
  sessions = memo::v1::SessionService::NewStub(client->channel());
  admin = memo::v1::AdminService::NewStub(grpc::CreateChannel(
      absl::StrCat("127.0.0.1:", server->admin_port()), grpc::InsecureChannelCredentials()));
}

void ServerTest::StopServer() { server.reset(); }

std::string ServerTest::target() const { return absl::StrCat("127.0.0.1:", server->port()); }

memo::testing::v1::ProbeState ServerTest::State(const std::string& id) {
  memo::testing::v1::ProbeState state;
  state.set_id(id);
  return state;
}

SessionHandle ServerTest::Open(const std::string& id, SessionEvents events) {
  return client->OpenSession(State(id), std::move(events)).value();
}

std::string ServerTest::Get(const SessionHandle& session, const std::string& key,
                            const CallOptions& options) {
  return Ask(session.handle(), Request(key), options).Words();
}

Told ServerTest::Ask(const std::optional<std::string>& handle, std::string_view request,
                     const CallOptions& options) {
  return Call(client->channel(), handle, request, options).Wait();
}

Call& ServerTest::Start(const SessionHandle& session, const std::string& key,
                        const CallOptions& options) {
  return StartBytes(session.handle(), Request(key), options);
}

Call& ServerTest::StartBytes(const std::optional<std::string>& handle, std::string_view request,
                             const CallOptions& options) {
  return calls_.emplace_back(client->channel(), handle, request, options);
}

std::vector<Call*> ServerTest::StartMany(const SessionHandle& session, const std::string& key,
                                         int count, const CallOptions& options) {
  const int64_t before = CacheInfoOf(session, options.method).misses();
  std::vector<Call*> calls;
  for (int i = 0; i < count; ++i) calls.push_back(&Start(session, key, options));
  EXPECT_TRUE(Soon([&] { return CacheInfoOf(session, options.method).misses(); }, before + count));
  return calls;
}

memo::v1::CacheInfo ServerTest::CacheInfoOf(const SessionHandle& session,
                                            const std::string& method) {
  return session.GetCacheInfo(method).value().total();
}

std::string ServerTest::Info(const SessionHandle& session, const std::string& method) {
  return Counts(CacheInfoOf(session, method));
}

memo::v1::AdminServiceGetCacheInfoResponse ServerTest::AdminInfo(const std::string& session_id,
                                                                 const std::string& method) {
  memo::v1::AdminServiceGetCacheInfoRequest request;
  request.set_session_id(session_id);
  request.set_method(method);
  memo::v1::AdminServiceGetCacheInfoResponse response;
  grpc::ClientContext context;
  const grpc::Status status = admin->GetCacheInfo(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response;
}

std::string ServerTest::Total(const std::string& method) {
  return Counts(AdminInfo("", method).total());
}

memo::v1::ServerGauges ServerTest::Gauges() {
  memo::v1::GetDebugStateResponse response;
  grpc::ClientContext context;
  const grpc::Status status = admin->GetDebugState(&context, {}, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.gauges();
}

std::string ServerTest::Alive() {
  const memo::v1::ServerGauges gauges = Gauges();
  const bool busy = gauges.sessions() > 0 || gauges.flights() > 0;
  return Words(gauges, busy ? 4 : gauges.GetDescriptor()->field_count());
}

std::string ServerTest::AliveInFull() {
  const memo::v1::ServerGauges gauges = Gauges();
  return Words(gauges, gauges.GetDescriptor()->field_count());
}

}  // namespace memod
