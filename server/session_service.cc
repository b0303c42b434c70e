#include "memod/server/session_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "memod/cache/memo_error.h"
#include "memod/server/cache_report.h"
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
  Build(
      TakeState(request), [stream] { return stream->Wanted(); },
      [stream](absl::StatusOr<std::shared_ptr<Incarnation>> incarnation) {
        stream->Open(std::move(incarnation));
      });
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
  ServerUnaryReactor* reactor = context->DefaultReactor();
  Build(
      TakeState(request), [context] { return !context->IsCancelled(); },
      [this, context, response, reactor,
       session = *std::move(session)](absl::StatusOr<std::shared_ptr<Incarnation>> incarnation) {
        absl::Status status = incarnation.status();
        if (status.ok()) {
          const auto receipt = env_.sessions.Update(*session, *std::move(incarnation));
          status = receipt.status();
          if (status.ok()) ReportReceipt(*receipt, response->mutable_receipt());
        }
        reactor->Finish(ToGrpcStatus(status, *context));
      });
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
  const auto session = SessionOf(*context);
  if (!session.ok()) return Reply(context, session.status());
  const auto incarnation = (*session)->incarnation();
  if (incarnation == nullptr) return Reply(context, SessionNotFound());
  const auto methods = MethodsOf(*incarnation, request->method());
  if (!methods.ok()) return Reply(context, methods.status());
  const MemoizedMethod* one = request->method().empty() ? nullptr : &methods->front()->memo;
  ReportReceipt(incarnation->cache->Clear(one).receipt, response->mutable_receipt());
  return Reply(context, absl::OkStatus());
}

ServerUnaryReactor* SessionService::GetCacheInfo(CallbackServerContext* context,
                                                 const memo::v1::GetCacheInfoRequest* request,
                                                 memo::v1::GetCacheInfoResponse* response) {
  const auto session = SessionOf(*context);
  if (!session.ok()) return Reply(context, session.status());
  const auto incarnation = (*session)->incarnation();
  if (incarnation == nullptr) return Reply(context, SessionNotFound());
  const auto methods = MethodsOf(*incarnation, request->method());
  if (!methods.ok()) return Reply(context, methods.status());
  ReportCacheInfo(
      *methods, [&](const Method& method) { return incarnation->cache->Info(method.memo); },
      response->mutable_total(), response->mutable_methods());
  return Reply(context, absl::OkStatus());
}

void SessionService::Build(std::optional<google::protobuf::Any> state, std::function<bool()> wanted,
                           Built done) {
  if (!state) return done(env_.sessions.Incarnate("", nullptr));
  const auto size = static_cast<int64_t>(state->value().size());
  if (size > env_.max_state_bytes) {
    return done(MemoError(absl::StatusCode::kResourceExhausted, memo_error::kLimit,
                          absl::StrCat("the state is ", size, " bytes, limit ",
                                       env_.max_state_bytes, " (session.max_state_bytes)")));
  }
  const auto hosted = ClassOf(*state);
  if (!hosted.ok()) return done(hosted.status());
  auto job = [this, hosted = *hosted, state = *std::move(state),
              done = std::move(done)](const absl::Status& status) mutable {
    if (!status.ok()) return done(status);
    auto instance = CreateInstance(*hosted, state.value());
    if (!instance.ok()) return done(instance.status());
    state.Clear();
    done(env_.sessions.Incarnate(hosted->state_type, *std::move(instance)));
  };
  env_.pool.Submit(std::move(job), std::move(wanted));
}

absl::StatusOr<const HostedService*> SessionService::ClassOf(
    const google::protobuf::Any& state) const {
  const std::string type = state.type_url().substr(state.type_url().rfind('/') + 1);
  std::vector<std::string> known;
  for (const auto& service : env_.registry.services()) {
    if (service->state_type.empty()) continue;
    if (service->state_type == type) return service.get();
    known.push_back(service->state_type);
  }
  return MemoError(absl::StatusCode::kInvalidArgument, memo_error::kBadRequest,
                   absl::StrCat("no hosted class takes a state of type ", Quoted(type),
                                "; those taken: ", absl::StrJoin(known, ", ")));
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

absl::StatusOr<std::vector<const Method*>> SessionService::MethodsOf(
    const Incarnation& incarnation, const std::string& name) const {
  std::vector<const Method*> methods = env_.methods.OfState(incarnation.state_type);
  if (name.empty()) return methods;
  std::erase_if(methods, [&](const Method* method) { return method->memo.name != name; });
  if (!methods.empty()) return methods;
  return absl::NotFoundError(absl::StrCat("this session has no memoized method ", Quoted(name),
                                          "; a name is like /package.Service/Method"));
}

}  // namespace memod
