#include "memod/server/session_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "memod/cache/memo_error.h"
#include "memod/server/cache_report.h"
#include "memod/server/call_key.h"
#include "memod/server/grpc_metadata.h"
#include "memod/server/grpc_status.h"
#include "memod/server/session_stream.h"

namespace memod {
namespace {

using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

absl::Status Draining() {
  return MemoError(absl::StatusCode::kUnavailable, memo_error::kDraining,
                   "the server is about to stop: open the session elsewhere");
}

ServerUnaryReactor* Reply(CallbackServerContext* context, const absl::Status& status) {
  ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(status, *context));
  return reactor;
}

// gRPC keeps a request until its call is done, a session's all its life, and a state may be large.
template <typename Request>
std::optional<google::protobuf::Any> TakeState(const Request* request) {
  if (!request->has_state()) return std::nullopt;
  return std::move(*const_cast<Request*>(request)->mutable_state());
}

}  // namespace

void SessionService::Drain() {
  std::vector<std::shared_ptr<SessionStream>> streams;
  {
    MutexLock lock(mutex_);
    draining_ = true;
    streams.assign(streams_.begin(), streams_.end());
  }
  for (const auto& stream : streams) stream->Drain();
}

grpc::ServerWriteReactor<memo::v1::OpenSessionResponse>* SessionService::OpenSession(
    CallbackServerContext* context, const memo::v1::OpenSessionRequest* request) {
  Metadata metadata = Select(context->client_metadata(), env_.captured);
  const auto stream = std::make_shared<SessionStream>(*this, env_.sessions, *context);
  absl::Status status = env_.sessions.CheckRoom();
  {
    MutexLock lock(mutex_);
    streams_.insert(stream);
    if (draining_) status = Draining();
  }
  if (!status.ok()) {
    stream->End(status);
    return stream.get();
  }
  env_.incarnator.Make(
      TakeState(request), std::move(metadata),
      {.wanted = [stream] { return stream->Wanted(); },
       .done = [stream](absl::StatusOr<Origin> made) { stream->Open(std::move(made)); }});
  return stream.get();
}

void SessionService::Done(const std::shared_ptr<SessionStream>& stream) {
  MutexLock lock(mutex_);
  streams_.erase(stream);
}

ServerUnaryReactor* SessionService::UpdateState(CallbackServerContext* context,
                                                const memo::v1::UpdateStateRequest* request,
                                                memo::v1::UpdateStateResponse* response) {
  auto session = SessionOf(*context);
  if (!session.ok()) return Reply(context, session.status());
  const auto incarnation = (*session)->incarnation();
  if (incarnation == nullptr) return Reply(context, SessionNotFound());
  ServerUnaryReactor* reactor = context->DefaultReactor();
  auto swap = [=, this, session = *session](absl::StatusOr<Origin> origin) {
    absl::Status status = origin.status();
    if (status.ok()) {
      const auto receipt = env_.sessions.Update(*session, *std::move(origin));
      status = receipt.status();
      if (status.ok()) ReportReceipt(*receipt, response->mutable_receipt());
    }
    reactor->Finish(ToGrpcStatus(status, *context));
  };
  env_.incarnator.Make(
      TakeState(request), incarnation->self->metadata,
      {.wanted = [context] { return !context->IsCancelled(); }, .done = std::move(swap)});
  return reactor;
}

ServerUnaryReactor* SessionService::CloseSession(CallbackServerContext* context,
                                                 const memo::v1::CloseSessionRequest*,
                                                 memo::v1::CloseSessionResponse* response) {
  const auto session = SessionOf(*context);
  if (!session.ok()) return Reply(context, session.status());
  const auto receipt = env_.sessions.Close(*session, CloseReason::kClosedByClient);
  if (!receipt) return Reply(context, SessionNotFound());
  ReportReceipt(*receipt, response->mutable_receipt());
  return Reply(context, absl::OkStatus());
}

ServerUnaryReactor* SessionService::ClearCache(CallbackServerContext* context,
                                               const memo::v1::ClearCacheRequest* request,
                                               memo::v1::ClearCacheResponse* response) {
  const auto memory = MemoryOf(*context, request->method());
  if (!memory.ok()) return Reply(context, memory.status());
  const MemoizedMethod* one = request->method().empty() ? nullptr : &memory->methods.front()->memo;
  ReportReceipt(memory->incarnation->cache->Clear(one).receipt, response->mutable_receipt());
  return Reply(context, absl::OkStatus());
}

ServerUnaryReactor* SessionService::Forget(CallbackServerContext* context,
                                           const memo::v1::ForgetRequest* request,
                                           memo::v1::ForgetResponse* response) {
  if (request->method().empty()) {
    return Reply(context, MemoError(absl::StatusCode::kInvalidArgument, memo_error::kBadRequest,
                                    "method is empty; want the name of the method whose answer to "
                                    "forget, as in /package.Service/Method"));
  }
  const auto memory = MemoryOf(*context, request->method());
  if (!memory.ok()) return Reply(context, memory.status());
  const Method& method = *memory->methods.front();
  const CallKey key(method, request->request(), [&](const std::vector<std::string>& names) {
    return Select(context->client_metadata(), names);
  });
  ReportReceipt(memory->incarnation->cache->Forget(method.memo, key.key()),
                response->mutable_receipt());
  return Reply(context, absl::OkStatus());
}

ServerUnaryReactor* SessionService::GetCacheInfo(CallbackServerContext* context,
                                                 const memo::v1::GetCacheInfoRequest* request,
                                                 memo::v1::GetCacheInfoResponse* response) {
  const auto memory = MemoryOf(*context, request->method());
  if (!memory.ok()) return Reply(context, memory.status());
  ReportCacheInfo(
      memory->methods,
      [&](const Method& method) { return memory->incarnation->cache->Info(method.memo); },
      response->mutable_total(), response->mutable_methods());
  return Reply(context, absl::OkStatus());
}

absl::StatusOr<std::shared_ptr<Session>> SessionService::SessionOf(
    const CallbackServerContext& context) const {
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
