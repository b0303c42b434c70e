#include "memod/server/admin.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memod/cache/memo_error.h"
#include "memod/server/cache_report.h"
#include "memod/server/explain_key.h"

namespace memod {
namespace {

constexpr int kMaxPage = 1000;

absl::Status NoMethod(const std::string& id, const std::string& method) {
  return absl::NotFoundError(absl::StrCat("session ", id, " has no method ", Quoted(method)));
}

// nullopt: none is left to read them by, or there is no /proc.
std::optional<int64_t> CountDescriptors() {
  std::error_code error;
  int64_t count = 0;
  std::filesystem::directory_iterator open("/proc/self/fd", error);
  for (; !error && open != end(open); open.increment(error)) ++count;
  if (error) return std::nullopt;
  return count - 1;  // but for the one that reads them
}

memo::v1::MemoryPressure PressureOf(MemoryPressure::Step step) {
  switch (step) {
    case MemoryPressure::Step::kNone:
      return memo::v1::MEMORY_PRESSURE_NONE;
    case MemoryPressure::Step::kEvicting:
      return memo::v1::MEMORY_PRESSURE_EVICTING;
    case MemoryPressure::Step::kNoSessions:
      return memo::v1::MEMORY_PRESSURE_NO_NEW_SESSIONS;
    case MemoryPressure::Step::kNoEntries:
      return memo::v1::MEMORY_PRESSURE_NO_NEW_ENTRIES;
    case MemoryPressure::Step::kNoCalls:
      return memo::v1::MEMORY_PRESSURE_NO_CALLS;
  }
  return memo::v1::MEMORY_PRESSURE_UNSPECIFIED;
}

}  // namespace

absl::Status Admin::GetCacheInfo(const memo::v1::AdminServiceGetCacheInfoRequest& request,
                                 memo::v1::AdminServiceGetCacheInfoResponse* response) const {
  std::vector<const Method*> methods = methods_.All();
  if (!request.method().empty()) {
    const auto method = methods_.Get(request.method());
    if (!method.ok()) return method.status();
    methods = {*method};
  }
  *response->mutable_gauges() = gauges_();
  ReportMemory(response);
  if (request.session_id().empty()) {
    const SessionTable::Totals totals = sessions_.GetTotals();
    ReportCacheInfo(
        methods, [&](const Method& method) { return totals.Info(method.memo); },
        response->mutable_total(), response->mutable_methods());
    return absl::OkStatus();
  }
  const auto session = FindSession(request.session_id());
  if (!session.ok()) return session.status();
  const auto incarnation = (*session)->incarnation();
  if (incarnation == nullptr) return NoSessionOfId(request.session_id());
  const std::vector<const Method*> own = methods_.OfState(incarnation->state_type);
  std::erase_if(methods,
                [&](auto* m) { return std::find(own.begin(), own.end(), m) == own.end(); });
  if (methods.empty() && !request.method().empty()) {
    return NoMethod(request.session_id(), request.method());
  }
  ReportCacheInfo(
      methods, [&](const Method& method) { return incarnation->cache->Info(method.memo); },
      response->mutable_total(), response->mutable_methods());
  return absl::OkStatus();
}

memo::v1::AdminServiceGetCacheInfoResponse Admin::History() const {
  memo::v1::AdminServiceGetCacheInfoResponse response;
  *response.mutable_gauges() = gauges_();
  ReportMemory(&response);
  const SessionTable::Totals totals = sessions_.GetTotals();
  ReportCacheInfo(
      methods_.All(), [&](const Method& method) { return totals.History(method.memo); },
      response.mutable_total(), response.mutable_methods());
  return response;
}

absl::Status Admin::ClearCache(const memo::v1::AdminServiceClearCacheRequest& request,
                               memo::v1::AdminServiceClearCacheResponse* response) {
  const MemoizedMethod* one = nullptr;
  if (!request.method().empty()) {
    const auto method = methods_.Get(request.method());
    if (!method.ok()) return method.status();
    one = &(*method)->memo;
  }
  std::shared_ptr<Session> session;
  if (!request.session_id().empty()) {
    auto found = FindSession(request.session_id());
    if (!found.ok()) return found.status();
    session = *std::move(found);
    const auto incarnation = session->incarnation();
    if (incarnation == nullptr) return NoSessionOfId(request.session_id());
    const auto own = methods_.OfState(incarnation->state_type);
    if (one != nullptr &&
        std::none_of(own.begin(), own.end(), [&](auto* m) { return &m->memo == one; })) {
      return NoMethod(request.session_id(), request.method());
    }
  }
  ReportReceipt(sessions_.Clear(session.get(), one), response->mutable_receipt());
  return absl::OkStatus();
}

absl::Status Admin::Forget(const memo::v1::AdminServiceForgetRequest& request,
                           memo::v1::AdminServiceForgetResponse* response) {
  const auto call = DescribedCall::Find(request.call(), sessions_, methods_);
  if (!call.ok()) return call.status();
  if (call->incarnation == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("session_id is empty; ", call->method->memo.name,
                     " is remembered for each session, and ListSessions lists their ids"));
  }
  ReportReceipt(call->incarnation->cache->Forget(call->method->memo, call->key->key()),
                response->mutable_receipt());
  return absl::OkStatus();
}

absl::Status Admin::ExplainKey(const memo::v1::ExplainKeyRequest& request,
                               memo::v1::ExplainKeyResponse* response) const {
  return memod::ExplainKey(request, sessions_, methods_, response);
}

absl::Status Admin::CloseSession(const memo::v1::AdminServiceCloseSessionRequest& request,
                                 memo::v1::AdminServiceCloseSessionResponse* response) {
  if (request.session_id().empty()) return absl::InvalidArgumentError("session_id is empty");
  const auto session = FindSession(request.session_id());
  if (!session.ok()) return session.status();
  const auto receipt = sessions_.Close(*session, CloseReason::kClosedByAdmin);
  if (!receipt) return NoSessionOfId(request.session_id());
  ReportReceipt(*receipt, response->mutable_receipt());
  return absl::OkStatus();
}

absl::Status Admin::ListSessions(const memo::v1::ListSessionsRequest& request,
                                 memo::v1::ListSessionsResponse* response) const {
  if (request.page_size() < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("page_size is ", request.page_size(), ", want 0 to ", kMaxPage));
  }
  const size_t page = request.page_size() == 0 ? kMaxPage : std::min(request.page_size(), kMaxPage);
  const auto sessions = sessions_.List(request.page_token(), page);
  const Time now = Clock::now();
  for (const auto& session : sessions) {
    const auto incarnation = session->incarnation();
    if (incarnation == nullptr) continue;  // closed meanwhile
    memo::v1::SessionInfo* info = response->add_sessions();
    info->set_session_id(session->id());
    info->set_state_type(std::string(incarnation->state_type));
    info->set_peer(session->peer());
    const Session::HeldBy held = session->held_by();
    info->set_holders(held.holders);
    info->set_leased(held.lease);
    info->set_resumable(held.resume_window);
    ReportDuration(now - session->opened_at(), info->mutable_age());
    info->set_sharing(sessions_.CountSharing(*session));
    google::protobuf::RepeatedPtrField<memo::v1::MethodCacheInfo> parts;
    ReportCacheInfo(
        methods_.OfState(incarnation->state_type),
        [&](const Method& method) { return incarnation->cache->Info(method.memo); },
        info->mutable_total(), &parts);
  }
  if (sessions.size() == page) response->set_next_page_token(sessions.back()->id());
  return absl::OkStatus();
}

absl::Status Admin::ListMethods(const memo::v1::ListMethodsRequest&,
                                memo::v1::ListMethodsResponse* response) const {
  for (const Method* method : methods_.All()) {
    memo::v1::MethodInfo* info = response->add_methods();
    info->set_method(method->memo.name);
    info->set_request_type(method->request_type);
    info->set_response_type(method->response_type);
    info->set_state_type(method->state_type);
    ReportPolicy(method->memo.policy, info->mutable_policy());
    info->set_upstream(method->upstream);
  }
  return absl::OkStatus();
}

memo::v1::ListUpstreamsResponse Admin::ListUpstreams() const {
  memo::v1::ListUpstreamsResponse response;
  const Time now = Clock::now();
  for (const auto& upstream : upstreams_.all()) {
    memo::v1::UpstreamInfo* info = response.add_upstreams();
    info->set_name(upstream->name());
    info->set_target(upstream->target());
    *info->mutable_services() = {upstream->services().begin(), upstream->services().end()};
    const Upstream::State state = upstream->state();
    info->set_connected(state.connected);
    ReportDuration(std::max(now - state.since, Duration::zero()), info->mutable_state_age());
    info->set_errors(upstream->errors());  // first: there are never more than calls
    info->set_calls(upstream->calls());
    info->set_calls_in_flight(upstream->in_flight());
  }
  return response;
}

memo::v1::GetDebugStateResponse Admin::GetDebugState() const {
  memo::v1::GetDebugStateResponse response;
  *response.mutable_gauges() = gauges_();
  response.set_descriptors(CountDescriptors().value_or(0));
  return response;
}

absl::StatusOr<std::shared_ptr<Session>> Admin::FindSession(const std::string& id) const {
  auto session = sessions_.FindById(id);
  if (session == nullptr) return NoSessionOfId(id);
  return session;
}

void Admin::ReportMemory(memo::v1::AdminServiceGetCacheInfoResponse* response) const {
  const auto limit = memory_.limit();
  if (!limit) return;
  response->mutable_memory()->set_used_bytes(memory_.used());
  response->mutable_memory()->set_limit_bytes(*limit);
  response->mutable_memory()->set_pressure(PressureOf(memory_.step()));
}

}  // namespace memod
