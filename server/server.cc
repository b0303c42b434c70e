#include "memod/server/server.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "grpc/health/v1/health.pb.h"
#include "memo/v1/pipeline.pb.h"
#include "memod/cache/session_table.h"
#include "memod/server/admin_http.h"
#include "memod/server/admin_service.h"
#include "memod/server/admission.h"
#include "memod/server/call_service.h"
#include "memod/server/compute_pool.h"
#include "memod/server/dispatcher.h"
#include "memod/server/gauges.h"
#include "memod/server/grpc_listener.h"
#include "memod/server/incarnator.h"
#include "memod/server/lease_clock.h"
#include "memod/server/logging.h"
#include "memod/server/memory_pressure.h"
#include "memod/server/message_key.h"
#include "memod/server/method_policies.h"
#include "memod/server/pipeline_service.h"
#include "memod/server/proxy_service.h"
#include "memod/server/pulse.h"
#include "memod/server/reflection.h"
#include "memod/server/session_service.h"
#include "memod/server/system_memory.h"
#include "memod/server/tls.h"
#include "memod/server/upstream_messages.h"
#include "memod/server/upstream_method.h"
#include "memod/server/upstreams.h"
#include "memod/server/write_clock.h"

namespace memod {
namespace {

// Room for what surrounds a state or a request in its message, so that our own handlers, whose
// errors name the limit, see those that are a little too large.
constexpr int64_t kMessageSlack = 64 << 10;
// The same for metadata, beside which gRPC counts what it sends of its own.
constexpr int64_t kMetadataSlack = 16 << 10;
constexpr const char* kReflection[] = {"grpc.reflection.v1.ServerReflection",
                                       "grpc.reflection.v1alpha.ServerReflection"};
// A server that drains serves on until nobody has called for this long: clients that are told move
// their sessions elsewhere, and call here until they have.
constexpr Duration kMoveTime = std::chrono::seconds(1);
// For the last words to reach the clients.
constexpr Duration kGoodbyeTime = std::chrono::milliseconds(500);
// When nobody has called for this long, those are gone who called all the time: they know that their
// sessions are closed. A call that comes when gRPC shuts down fails as CANCELLED, without a word.
constexpr Duration kLastCall = std::chrono::milliseconds(100);

int64_t MaxMessageBytes(const Config& config) {
  const int64_t most = std::max(config.server.max_request_bytes, config.session.max_state_bytes);
  return std::min<int64_t>(most + kMessageSlack, INT_MAX);
}

std::optional<MemorySource> MakeMemorySource(const Config& config, Server::UsedMemory used) {
  auto source = SystemMemory(config.server.max_memory);
  if (source && used) source->used = std::move(used);
  return source;
}

std::vector<std::string> AdminServices() {
  return {"memo.v1.AdminService", kReflection[0], kReflection[1]};
}

// The services that memod itself serves to clients.
std::vector<std::string> OwnServices(const Registry& registry) {
  std::vector<std::string> own = {"memo.v1.SessionService", "memo.v1.PipelineService",
                                  "grpc.health.v1.Health", kReflection[0], kReflection[1]};
  for (const auto& service : registry.services()) own.push_back(service->name);
  return own;
}

// An upstream serves as long as it is connected: the services it is called for, or under its name
// whatever nobody else serves.
void TellHealth(const Upstream& upstream, grpc::HealthCheckServiceInterface& health) {
  const bool serving = upstream.state().connected;
  for (const std::string& service : upstream.services()) health.SetServingStatus(service, serving);
  if (upstream.services().empty()) health.SetServingStatus(upstream.name(), serving);
}

}  // namespace

// In the order in which they are built on one another.
struct Server::Parts {
  Parts(const Config& c, const Registry& r, UsedMemory used_memory)
      : config(c), registry(r), memory_source(MakeMemorySource(config, std::move(used_memory))) {}

  absl::Status ReadTls();
  absl::Status AddMethods();
  void AddUpstreams(const std::vector<FinalPolicy>& policies, const UpstreamFiles& files);
  absl::Status StartData();
  absl::Status StartAdmin();

  // Entries are evicted only where they are bounded.
  std::optional<int64_t> MaxBytes() const {
    if (!memory_source) return config.cache.max_bytes;
    return std::min(config.cache.max_bytes.value_or(memory_source->limit), memory_source->limit);
  }

  Config config;  // constant once the methods are added
  const Registry& registry;
  const std::optional<MemorySource> memory_source;

  std::unique_ptr<ListenerTls> tls, admin_tls;  // null: plaintext
  MethodTable methods;
  CacheContext context{
      MaxBytes(),
      {.max_session_bytes = config.session.max_bytes, .max_waiters = config.compute.max_waiters}};
  SessionTable sessions{context,
                        {.max_sessions = config.session.max,
                         .max_per_peer = config.session.max_per_peer,
                         .max_holders = config.session.max_holders,
                         .max_depth = config.compute.max_depth,
                         .guaranteed_bytes = config.session.guaranteed_bytes},
                        SessionService::LogClosed};
  MemoryPressure memory{memory_source, context};
  LeaseClock lease_clock{sessions.leases()};
  ComputeTimeouts timeouts;
  Admission admission{memory,
                      {.max_calls = config.server.max_calls,
                       .max_session_calls = config.session.max_calls,
                       .max_metadata_bytes = config.server.max_metadata_bytes}};
  Dispatcher dispatcher{sessions, methods, timeouts, admission};

  CallService::Shared calls{dispatcher, admission, config.server.max_request_bytes};
  std::vector<std::unique_ptr<CallService>> call_services;
  PipelineService pipeline{{.dispatcher = dispatcher,
                            .admission = admission,
                            .calls = calls.calls,
                            .max_request_bytes = config.server.max_request_bytes,
                            .max_calls = config.pipeline.max_calls,
                            .max_unsent_bytes = config.pipeline.max_unsent_bytes}};
  Upstreams upstreams{config.upstreams, OwnServices(registry)};
  ProxyService proxy{upstreams, admission, calls.calls};
  Incarnator incarnator{{sessions, registry, pool, config.session.max_state_bytes}};
  SessionService session_service{
      {sessions,
       methods,
       incarnator,
       config.session.metadata,
       {sessions, config.session.resume_window, config.session.heartbeat_timeout},
       config.session.max_ttl,
       admission,
       memory,
       calls.calls}};
  // Behind all that its jobs use: they have ended before any of that goes.
  ComputePool pool{{.threads = config.compute.threads,
                    .queue = config.compute.queue,
                    .max_depth = config.compute.max_depth}};
  Admin admin{
      sessions, methods, upstreams,
      [sources = GaugeSources{context, sessions, timeouts, pool, calls.calls, session_service,
                              pipeline, incarnator, admission}] { return ReadGauges(sources); },
      memory};
  AdminService admin_service{admin};
  const std::vector<std::unique_ptr<grpc::Service>> data_reflection =
      MakeReflection([own = ReflectionSource{OwnServices(registry), CompiledInFiles()}, this] {
        std::vector<ReflectionSource> sources = upstreams.ReflectionSources();
        sources.insert(sources.begin(), own);
        return sources;
      });
  const std::vector<std::unique_ptr<grpc::Service>> admin_reflection =
      MakeReflection([own = ReflectionSource{AdminServices(), CompiledInFiles()}] {
        return std::vector<ReflectionSource>{own};
      });

  Pulse pulse;
  MemoryWatch memory_watch{memory};
  std::atomic<bool> ready{false};
  int port = 0;
  int admin_port = 0;
  std::unique_ptr<grpc::Server> data_server;
  std::unique_ptr<grpc::Server> admin_server;
  std::unique_ptr<AdminHttp> http;
  // In front of the services that it looks at.
  WriteClock write_clock{config.server.write_timeout,
                         [this] {
                           std::vector<StalledCall> stalled = calls.calls.unsent().Stalled();
                           for (StalledCall& call : session_service.Stalled()) {
                             stalled.push_back(std::move(call));
                           }
                           for (StalledCall& call : pipeline.Stalled()) {
                             stalled.push_back(std::move(call));
                           }
                           return stalled;
                         },
                         context.reaper};
};

absl::Status Server::Parts::ReadTls() {
  if (absl::Status status = CheckTlsFiles(config); !status.ok()) return status;
  auto of_server = ListenerTls::Make("server", config.server.tls);
  auto of_admin = ListenerTls::Make("admin", config.admin.tls);
  for (const auto& made : {&of_server, &of_admin}) {
    if (!made->ok()) return made->status();
  }
  tls = *std::move(of_server);
  admin_tls = *std::move(of_admin);
  return absl::OkStatus();
}

absl::Status Server::Parts::AddMethods() {
  auto known = KnownFiles(config, registry, upstreams);
  if (!known.ok()) return known.status();
  const UpstreamFiles& files = *known;
  config = WithImpliedMethods(std::move(config), files, registry);
  const auto policies = CheckedPolicies(config, files, registry);
  if (!policies.ok()) return policies.status();
  auto policy = policies->begin();
  for (const auto& service : registry.services()) {
    std::vector<CallService::Served> of_service;
    for (const HostedMethod& hosted : service->methods) {
      Method& method = methods.Add(policy->method, policy->policy, policy->state_type);
      method.compute = MakeComputeFn(hosted, pool, dispatcher);
      method.request_type = hosted.request_type;
      method.response_type = hosted.response_type;
      auto message = MessageKey::Make(*hosted.request, method.memo.policy.key_ignore);
      if (!message.ok()) return message.status();  // checked before: there is none
      method.message = std::make_shared<MessageKey>(*std::move(message));
      method.tag = hosted.tag;
      of_service.push_back({&method, nullptr});
      ++policy;
    }
    call_services.push_back(std::make_unique<CallService>(calls, of_service));
  }
  AddUpstreams({policy, policies->end()}, files);
  return absl::OkStatus();
}

void Server::Parts::AddUpstreams(const std::vector<FinalPolicy>& policies,
                                 const UpstreamFiles& files) {
  auto policy = policies.begin();
  for (size_t i = 0; i < config.upstreams.size(); ++i) {
    Upstream& upstream = *upstreams.all()[i];
    std::vector<CallService::Served> served;
    std::vector<Method*> described;
    for (const MethodConfig& configured : config.upstreams[i].methods) {
      Method& method = methods.Add(policy->method, policy->policy, policy->state_type);
      method.any_session = policy->policy.scope == Scope::kSession;
      method.compute = MakeUpstreamComputeFn(upstream);
      method.upstream = upstream.name();
      described.push_back(&method);
      const bool pass = method.any_session && configured.pass_without_session.value_or(true);
      served.push_back({&method, pass ? &upstream : nullptr});
      ++policy;
    }
    if (files[i] != nullptr) {
      upstreams.types(i).Assume(files[i]);
      DescribeMethods(files[i], described, upstreams.types(i));
    }
    call_services.push_back(std::make_unique<CallService>(calls, served));
  }
}

absl::Status Server::Parts::StartData() {
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(static_cast<int>(MaxMessageBytes(config)));
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE,
                             static_cast<int>(config.server.max_metadata_bytes + kMetadataSlack));
  for (const auto& service : call_services) builder.RegisterService(service.get());
  builder.RegisterService(&session_service);
  builder.RegisterService(&pipeline);
  for (const auto& service : data_reflection) builder.RegisterService(service.get());
  builder.RegisterCallbackGenericService(&proxy);
  grpc::EnableDefaultHealthCheckService(true);
  auto listener =
      Listen(builder, {"server.listen", config.server.listen, tls.get()}, config.server);
  if (!listener.ok()) return listener.status();
  data_server = std::move(listener->server);
  port = listener->port;
  // Named, so that the linker keeps what describes these services to reflection.
  grpc::health::v1::HealthCheckRequest::descriptor();
  memo::v1::CallRequest::descriptor();
  auto* health = data_server->GetHealthCheckService();
  for (const auto& service : registry.services()) health->SetServingStatus(service->name, true);
  upstreams.Listen([health](Upstream& upstream) { TellHealth(upstream, *health); });
  return absl::OkStatus();
}

absl::Status Server::Parts::StartAdmin() {
  grpc::ServerBuilder builder;
  builder.RegisterService(&admin_service);
  for (const auto& service : admin_reflection) builder.RegisterService(service.get());
  grpc::EnableDefaultHealthCheckService(false);
  auto listener =
      Listen(builder, {"admin.listen", config.admin.listen, admin_tls.get()}, config.server);
  if (!listener.ok()) return listener.status();
  admin_server = std::move(listener->server);
  admin_port = listener->port;
  if (config.admin.http.empty()) return absl::OkStatus();
  auto started =
      AdminHttp::Start(config.admin.http, admin_tls.get(), admin, [this] { return ready.load(); });
  if (!started.ok()) {
    return absl::Status(started.status().code(),
                        absl::StrCat("admin.http: ", std::string(started.status().message())));
  }
  http = *std::move(started);
  return absl::OkStatus();
}

absl::Status Server::Check(const Config& config, const Registry& registry) {
  if (absl::Status status = CheckTlsFiles(config); !status.ok()) return status;
  return CheckedDescriptorSets(config, registry).status();
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Config& config,
                                                      const Registry& registry,
                                                      UsedMemory used_memory) {
  std::unique_ptr<Server> server(
      new Server(std::make_unique<Parts>(config, registry, std::move(used_memory))));
  Parts& parts = *server->parts_;
  if (absl::Status status = parts.ReadTls(); !status.ok()) return status;
  if (absl::Status status = parts.AddMethods(); !status.ok()) return status;
  if (absl::Status status = parts.StartAdmin(); !status.ok()) return status;
  if (absl::Status status = parts.StartData(); !status.ok()) return status;
  parts.ready = true;
  Log(LogLevel::info, "serving",
      {{"listen", config.server.listen},
       {"port", server->port()},
       {"admin", config.admin.listen},
       {"admin_port", server->admin_port()},
       {"http", config.admin.http},
       {"http_port", server->http_port()},
       {"methods", parts.methods.All().size()}});
  return server;
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Server::~Server() { Stop(Clock::now()); }

int Server::port() const { return parts_->port; }
int Server::admin_port() const { return parts_->admin_port; }
int Server::http_port() const { return parts_->http == nullptr ? 0 : parts_->http->port(); }

void Server::Drain() {
  Parts& parts = *parts_;
  const Time until = Clock::now() + parts.config.server.drain_timeout;
  parts.ready = false;
  // For good, whatever becomes of the upstreams.
  parts.data_server->GetHealthCheckService()->Shutdown();
  parts.session_service.Drain();
  parts.pipeline.Drain();
  Log(LogLevel::info, "draining",
      {{"calls", parts.calls.calls.count()}, {"sessions", parts.sessions.size()}});
  const Duration quiet = parts.sessions.size() == 0 ? Duration::zero() : kMoveTime;
  if (!parts.calls.calls.WaitIdle(quiet, until)) {
    Log(LogLevel::warn, "drain_timeout is over, calls are cut off",
        {{"calls", parts.calls.calls.count()}});
  }
  Stop(Clock::now() + kGoodbyeTime);
}

void Server::Stop(Time until) {
  Parts& parts = *parts_;
  parts.upstreams.Stop();
  parts.pool.Stop();
  const bool called = parts.sessions.size() > 0;
  parts.sessions.CloseAll(CloseReason::kServerStopping);
  if (called) parts.calls.calls.WaitIdle(kLastCall, Clock::now() + (until - Clock::now()) / 2);
  // Health watches do not end by themselves: the deadline does it.
  const auto deadline = std::chrono::system_clock::now() + (until - Clock::now());
  for (grpc::Server* server : {parts.data_server.get(), parts.admin_server.get()}) {
    if (server != nullptr) server->Shutdown(deadline);
  }
  parts.http.reset();
}

}  // namespace memod
