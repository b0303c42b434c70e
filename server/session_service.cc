#include "memod/server/session_service.h"

#include <grpcpp/impl/codegen/server_callback_handlers.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memod/cache/memo_error.h"
#include "memod/server/cache_report.h"
#include "memod/server/call_key.h"
#include "memod/server/grpc_metadata.h"
#include "memod/server/grpc_status.h"
#include "memod/server/hold_stream.h"
#include "memod/server/logging.h"
#include "memod/server/session_stream.h"

namespace memod {
namespace {

using grpc::ByteBuffer;
using grpc::CallbackServerContext;

// Below it a lease would lapse before a renewal gets through.
constexpr Duration kMinTtl = std::chrono::milliseconds(100);
constexpr size_t kLongestHolderName = 64;
// Of one call, which takes an event thread all the while.
constexpr int kMostRenewed = 10'000;
constexpr size_t kMostRenewedBytes = 1 << 20;  // twice what as many handles take

absl::Status Draining() {
  return MemoError(absl::StatusCode::kUnavailable, memo_error::kDraining,
                   "the server is about to stop: open the session elsewhere");
}

template <typename Request>
std::optional<google::protobuf::Any> TakeState(Request& request) {
  if (!request.has_state()) return std::nullopt;
  return std::move(*request.mutable_state());  // it may be large
}

// Before it is decoded, which can take far longer, and far more memory, than it took to send.
absl::Status CheckLength(const ByteBuffer& request, size_t max) {
  if (!request.Valid() || request.Length() <= max) return absl::OkStatus();
  return BadRequest(
      absl::StrCat("the request is ", request.Length(), " bytes; want at most ", max));
}

const char* Name(CloseReason reason) {
  switch (reason) {
    case CloseReason::kClientGone:
      return "client gone";
    case CloseReason::kLeaseLapsed:
      return "lease lapsed";
    case CloseReason::kClosedByClient:
      return "closed by client";
    case CloseReason::kClosedByAdmin:
      return "closed by admin";
    case CloseReason::kServerStopping:
      return "server stopping";
  }
  return "";
}

// As duration.proto has it.
bool IsValid(const google::protobuf::Duration& d) {
  constexpr int32_t kSecond = 1'000'000'000;
  return d.nanos() > -kSecond && d.nanos() < kSecond && (d.seconds() <= 0 || d.nanos() >= 0) &&
         (d.seconds() >= 0 || d.nanos() <= 0);
}

absl::StatusOr<Duration> TtlOf(const memo::v1::LeaseSessionRequest& request, Duration max) {
  const auto& ttl = request.ttl();
  if (!IsValid(ttl)) {
    return BadRequest(absl::StrCat("ttl is not a valid Duration: seconds ", ttl.seconds(),
                                   ", nanos ", ttl.nanos()));
  }
  constexpr int64_t kLong = 10 * 365 * 24 * 3600;  // what is more might overflow
  if (ttl.seconds() >= 0 && ttl.seconds() < kLong) {
    const Duration given =
        std::chrono::seconds(ttl.seconds()) + std::chrono::nanoseconds(ttl.nanos());
    if (given >= kMinTtl && given <= max) return given;
  }
  const double seconds = static_cast<double>(ttl.seconds()) + ttl.nanos() * 1e-9;
  return BadRequest(absl::StrCat("ttl is ", absl::StrFormat("%.12g", seconds), " s; want from ",
                                 ToSeconds(kMinTtl), " s to ", ToSeconds(max),
                                 " s (session.max_ttl)"));
}

}  // namespace

absl::Status CheckHolderName(const std::string& name) {
  if (name.size() <= kLongestHolderName) return absl::OkStatus();
  return BadRequest(absl::StrCat("the holder's name is ", name.size(), " bytes; want at most ",
                                 kLongestHolderName));
}

void SessionService::LogClosed(const Session& session, CloseReason reason, const Receipt& receipt) {
  Log(LogLevel::info, "session closed",
      {{"session", session.id()},
       {"reason", Name(reason)},
       {"entries", receipt.entries},
       {"bytes", receipt.bytes},
       {"compute_seconds", receipt.compute_seconds}});
}

void SessionService::Drain() {
  {
    MutexLock lock(mutex_);
    draining_ = true;
  }
  for (const auto& stream : Streams()) stream->Drain();
}

std::vector<StalledCall> SessionService::Stalled() { return StalledOf(Streams()); }

int64_t SessionService::streams() const {
  MutexLock lock(mutex_);
  return static_cast<int64_t>(streams_.size());
}

std::vector<std::shared_ptr<HolderStream>> SessionService::Streams() const {
  MutexLock lock(mutex_);
  return {streams_.begin(), streams_.end()};
}

bool SessionService::draining() const {
  MutexLock lock(mutex_);
  return draining_;
}

absl::Status SessionService::Add(const std::shared_ptr<HolderStream>& stream) {
  MutexLock lock(mutex_);
  streams_.insert(stream);
  return draining_ ? Draining() : absl::OkStatus();
}

void SessionService::Done(const std::shared_ptr<HolderStream>& stream) {
  MutexLock lock(mutex_);
  streams_.erase(stream);
}

absl::Status SessionService::CheckRoom(const CallbackServerContext& context) const {
  absl::Status status = env_.memory.Check(MemoryPressure::Step::kNoSessions);
  if (!status.ok()) return status;
  status = CheckMetadata(context.client_metadata(), env_.admission.max_metadata_bytes());
  return status.ok() ? env_.sessions.CheckRoom(context.peer()) : status;
}

SessionService::SessionService(Environment environment) : env_(std::move(environment)) {
  // In the order of session.proto, where two streams come first.
  Serve(2, &SessionService::Lease);
  ServeAtOnce(3, &SessionService::Renew, kMostRenewedBytes);
  Serve(4, &SessionService::Update);
  ServeAtOnce(5, &SessionService::Close);
  ServeAtOnce(6, &SessionService::Clear);
  ServeAtOnce(7, &SessionService::Forget);
  ServeAtOnce(8, &SessionService::CacheInfo);
}

template <typename Request, typename Response>
void SessionService::Serve(int method, Handler<Request, Response> handler) {
  using Call = UnaryCall<Request, Response>;
  MarkMethodRawCallback(method,
                        new grpc::internal::CallbackUnaryHandler<ByteBuffer, Call>(
                            [this, handler](Context* context, const ByteBuffer* bytes, Call* call) {
                              call->Begin(env_.calls.unsent(), *context);
                              (this->*handler)(*bytes, *call);
                              return call;
                            }));
}

template <typename Request, typename Response>
void SessionService::ServeAtOnce(int method, Answer<Request, Response> answer, size_t max_bytes) {
  using Call = UnaryCall<Request, Response>;
  MarkMethodRawCallback(
      method, new grpc::internal::CallbackUnaryHandler<ByteBuffer, Call>(
                  [this, answer, max_bytes](Context* context, const ByteBuffer* bytes, Call* call) {
                    call->Begin(env_.calls.unsent(), *context);
                    absl::Status status = CheckLength(*bytes, max_bytes);
                    if (status.ok()) status = Decode(*bytes, call->request);
                    if (status.ok())
                      status = (this->*answer)(*context, call->request, call->response);
                    call->Answer(status);
                    return call;
                  }));
}

absl::StatusOr<std::shared_ptr<Session>> SessionService::Open(Origin origin, std::string peer) {
  if (draining()) return Draining();  // that came while the instance was made
  const std::string_view state_type = origin.state_type;
  auto session = env_.sessions.Open(std::move(origin), std::move(peer), Clock::now());
  if (session.ok()) {
    Log(LogLevel::info, "session opened",
        {{"session", (*session)->id()}, {"state", state_type}, {"peer", (*session)->peer()}});
  }
  return session;
}

grpc::ServerWriteReactor<ByteBuffer>* SessionService::OpenSession(CallbackServerContext* context,
                                                                  const ByteBuffer* bytes) {
  memo::v1::OpenSessionRequest request;
  absl::Status status = Decode(*bytes, request);
  const auto stream =
      std::make_shared<SessionStream>(env_.holding, *this, *context, request.holder());
  const absl::Status added = Add(stream);
  if (status.ok()) status = added;
  if (status.ok()) status = CheckHolderName(request.holder());
  if (status.ok()) status = CheckRoom(*context);
  if (!status.ok()) {
    stream->End(status);
    return stream.get();
  }
  env_.incarnator.Make(
      TakeState(request), Select(context->client_metadata(), env_.captured),
      {.wanted = [stream] { return stream->Wanted(); },
       .done = [stream](absl::StatusOr<Origin> made) { stream->Open(std::move(made)); }});
  return stream.get();
}

grpc::ServerBidiReactor<ByteBuffer, ByteBuffer>* SessionService::HoldSession(
    CallbackServerContext* context) {
  const auto stream = std::make_shared<HoldStream>(env_.holding, *this, *context);
  // Sessions that are open stay so until the server stops.
  if (!Add(stream).ok()) stream->Drain();
  auto session = SessionOf(*context);
  if (session.ok()) {
    stream->Start(*session);
  } else {
    stream->End(session.status());
  }
  return stream.get();
}

void SessionService::Lease(
    const ByteBuffer& bytes,
    UnaryCall<memo::v1::LeaseSessionRequest, memo::v1::LeaseSessionResponse>& call) {
  absl::Status status = Decode(bytes, call.request);
  if (status.ok()) status = draining() ? Draining() : CheckRoom(call.context());
  const auto ttl = status.ok() ? TtlOf(call.request, env_.max_ttl) : status;
  if (!ttl.ok()) return call.Answer(ttl.status());
  auto lease = [this, &call, ttl = *ttl](absl::StatusOr<Origin> origin) {
    const auto leased = [&]() -> absl::Status {
      if (!origin.ok()) return origin.status();
      const auto session = Open(*std::move(origin), call.context().peer());
      if (!session.ok()) return session.status();
      call.response.set_handle((*session)->handle());
      call.response.set_session_id((*session)->id());
      return env_.sessions.Lease(**session, ttl, Clock::now());
    };
    call.Answer(leased());
  };
  env_.incarnator.Make(
      TakeState(call.request), Select(call.context().client_metadata(), env_.captured),
      {.wanted = [&call] { return !call.context().IsCancelled(); }, .done = std::move(lease)});
}

void SessionService::Update(
    const ByteBuffer& bytes,
    UnaryCall<memo::v1::UpdateStateRequest, memo::v1::UpdateStateResponse>& call) {
  absl::Status status = Decode(bytes, call.request);
  if (status.ok()) status = env_.admission.Check();
  const auto session = status.ok() ? SessionOf(call.context()) : status;
  const auto incarnation = session.ok() ? (*session)->incarnation() : nullptr;
  if (incarnation == nullptr) {
    return call.Answer(session.ok() ? SessionNotFound() : session.status());
  }
  env_.calls.Enter();  // a drain waits for it
  auto swap = [this, &call, session = *session](absl::StatusOr<Origin> origin) {
    absl::Status updated = origin.status();
    if (updated.ok()) {
      const auto receipt = env_.sessions.Update(*session, *std::move(origin));
      updated = receipt.status();
      if (updated.ok()) ReportReceipt(*receipt, call.response.mutable_receipt());
    }
    call.Answer(updated);
    env_.calls.Leave();
  };
  env_.incarnator.Make(
      TakeState(call.request), incarnation->self->metadata,
      {.wanted = [&call] { return !call.context().IsCancelled(); }, .done = std::move(swap)});
}

absl::Status SessionService::Renew(const Context& context,
                                   const memo::v1::RenewSessionRequest& request,
                                   memo::v1::RenewSessionResponse& response) const {
  const Time now = Clock::now();
  const absl::Status metadata =
      CheckMetadata(context.client_metadata(), env_.admission.max_metadata_bytes());
  if (!metadata.ok()) return metadata;
  if (request.handles_size() > kMostRenewed) {
    return BadRequest(absl::StrCat("there are ", request.handles_size(), " handles; want at most ",
                                   kMostRenewed, " in a call"));
  }
  if (request.handles().empty() || context.client_metadata().contains("memo-session")) {
    const auto own = SessionOf(context);
    if (!own.ok()) return own.status();
    if (absl::Status renewed = env_.sessions.Renew(**own, now); !renewed.ok()) return renewed;
  }
  for (int i = 0; i < request.handles_size(); ++i) {
    const auto session = env_.sessions.Find(request.handles(i));
    if (session == nullptr || !env_.sessions.Renew(*session, now).ok()) response.add_lost(i);
  }
  response.set_draining(draining());
  return absl::OkStatus();
}

absl::Status SessionService::Close(const Context& context, const memo::v1::CloseSessionRequest&,
                                   memo::v1::CloseSessionResponse& response) const {
  const auto session = SessionOf(context);
  if (!session.ok()) return session.status();
  const auto receipt = env_.sessions.Close(*session, CloseReason::kClosedByClient);
  if (!receipt) return SessionNotFound();
  ReportReceipt(*receipt, response.mutable_receipt());
  return absl::OkStatus();
}

absl::Status SessionService::Clear(const Context& context,
                                   const memo::v1::ClearCacheRequest& request,
                                   memo::v1::ClearCacheResponse& response) const {
  const auto memory = MemoryOf(context, request.method());
  if (!memory.ok()) return memory.status();
  const MemoizedMethod* one = request.method().empty() ? nullptr : &memory->methods.front()->memo;
  ReportReceipt(memory->incarnation->cache->Clear(one).receipt, response.mutable_receipt());
  return absl::OkStatus();
}

absl::Status SessionService::Forget(const Context& context, const memo::v1::ForgetRequest& request,
                                    memo::v1::ForgetResponse& response) const {
  if (request.method().empty()) {
    return BadRequest(
        "method is empty; want the name of the method whose answer to forget, as in "
        "/package.Service/Method");
  }
  const auto memory = MemoryOf(context, request.method());
  if (!memory.ok()) return memory.status();
  const Method& method = *memory->methods.front();
  const CallKey key(method, request.request(), [&](const std::vector<std::string>& names) {
    return Select(context.client_metadata(), names);
  });
  ReportReceipt(memory->incarnation->cache->Forget(method.memo, key.key()),
                response.mutable_receipt());
  return absl::OkStatus();
}

absl::Status SessionService::CacheInfo(const Context& context,
                                       const memo::v1::GetCacheInfoRequest& request,
                                       memo::v1::GetCacheInfoResponse& response) const {
  const auto memory = MemoryOf(context, request.method());
  if (!memory.ok()) return memory.status();
  ReportCacheInfo(
      memory->methods,
      [&](const Method& method) { return memory->incarnation->cache->Info(method.memo); },
      response.mutable_total(), response.mutable_methods());
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<Session>> SessionService::SessionOf(
    const CallbackServerContext& context) const {
  const absl::Status metadata =
      CheckMetadata(context.client_metadata(), env_.admission.max_metadata_bytes());
  if (!metadata.ok()) return metadata;
  const auto handle = context.client_metadata().find("memo-session");
  if (handle == context.client_metadata().end()) {
    return MemoError(absl::StatusCode::kFailedPrecondition, memo_error::kSessionRequired,
                     "send the metadata memo-session with the handle that OpenSession gave");
  }
  auto session = env_.sessions.Find({handle->second.data(), handle->second.size()});
  if (session == nullptr) return SessionNotFound();
  return session;
}

absl::StatusOr<SessionService::Memory> SessionService::MemoryOf(
    const CallbackServerContext& context, const std::string& method) const {
  const auto session = SessionOf(context);
  if (!session.ok()) return session.status();
  Memory memory{(*session)->incarnation(), {}};
  if (memory.incarnation == nullptr) return SessionNotFound();
  memory.methods = env_.methods.OfState(memory.incarnation->state_type);
  if (method.empty()) return memory;
  std::erase_if(memory.methods, [&](const Method* m) { return m->memo.name != method; });
  if (!memory.methods.empty()) return memory;
  return absl::NotFoundError(absl::StrCat("this session has no memoized method ", Quoted(method),
                                          "; a name is like /package.Service/Method"));
}

}  // namespace memod
