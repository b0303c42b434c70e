#include "memod/client/memoctl/commands.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "memo/json.h"
#include "memo/v1/admin.grpc.pb.h"
#include "memod/client/memoctl/table.h"

namespace memod {
namespace {

using memo::v1::AdminService;
using memo::v1::CacheInfo;
using Align = Table::Align;

std::string Bound(bool set, int64_t bound) { return set ? absl::StrCat(bound) : "unbounded"; }

// Unset also says that bounds were added up: of several methods, which have no one policy, or of
// one method's sessions, each of which has its own bound.
std::string Maxsize(const CacheInfo& info) {
  if (info.has_maxsize()) return absl::StrCat(info.maxsize());
  if (!info.has_policy()) return "-";
  if (info.policy().has_max_entries()) return absl::StrCat(info.policy().max_entries(), " each");
  return "unbounded";
}

std::string OrDash(const std::string& text) { return text.empty() ? "-" : text; }

double Seconds(const google::protobuf::Duration& duration) {
  return static_cast<double>(duration.seconds()) + duration.nanos() / 1e9;
}

void AddInfoRow(Table& table, const std::string& name, const CacheInfo& info) {
  table.AddRow({name, absl::StrCat(info.hits()), absl::StrCat(info.misses()), Maxsize(info),
                absl::StrCat(info.currsize()), HumanBytes(info.bytes()),
                HumanSeconds(info.compute_seconds_saved())});
}

// Empty where there is no limit.
std::string MemoryText(const memo::v1::AdminServiceGetCacheInfoResponse& response) {
  if (!response.has_memory()) return "";
  const memo::v1::MemoryInfo& memory = response.memory();
  // As in "no new sessions", of MEMORY_PRESSURE_NO_NEW_SESSIONS.
  std::string pressure = memo::v1::MemoryPressure_Name(memory.pressure());
  pressure = absl::AsciiStrToLower(pressure.substr(sizeof("MEMORY_PRESSURE_") - 1));
  std::replace(pressure.begin(), pressure.end(), '_', ' ');
  return absl::StrCat("memory: ", HumanBytes(memory.used_bytes()), " of ",
                      HumanBytes(memory.limit_bytes()), ", pressure: ", pressure, "\n");
}

std::string InfoText(const memo::v1::AdminServiceGetCacheInfoResponse& response) {
  Table table({{"METHOD"},
               {"HITS", Align::kRight},
               {"MISSES", Align::kRight},
               {"MAXSIZE", Align::kRight},
               {"CURRSIZE", Align::kRight},
               {"BYTES", Align::kRight},
               {"SAVED", Align::kRight}});
  for (const auto& method : response.methods()) AddInfoRow(table, method.method(), method.info());
  const CacheInfo& total = response.total();
  if (response.methods_size() != 1) AddInfoRow(table, "total", total);
  const auto& gauges = response.gauges();
  return absl::StrCat(table.Render(), "\ncoalesced ", total.coalesced(), ", computations ",
                      total.computations(), ", errors ", total.errors(), ", evictions ",
                      total.evictions(), ", expirations ", total.expirations(), ", too large ",
                      total.too_large(), "\nserver: sessions ", gauges.sessions(), ", instances ",
                      gauges.instances(), ", flights ", gauges.flights(), ", entries ",
                      gauges.entries(), ", bytes ", HumanBytes(gauges.bytes()), "\n",
                      MemoryText(response));
}

std::string SessionsText(const memo::v1::ListSessionsResponse& response) {
  Table table({{"SESSION"},
               {"STATE"},
               {"PEER"},
               {"AGE", Align::kRight},
               {"HITS", Align::kRight},
               {"MISSES", Align::kRight},
               {"CURRSIZE", Align::kRight},
               {"BYTES", Align::kRight}});
  for (const auto& session : response.sessions()) {
    const CacheInfo& total = session.total();
    table.AddRow({session.session_id(), OrDash(session.state_type()), session.peer(),
                  HumanSeconds(Seconds(session.age())), absl::StrCat(total.hits()),
                  absl::StrCat(total.misses()), absl::StrCat(total.currsize()),
                  HumanBytes(total.bytes())});
  }
  return table.Render();
}

std::string MethodsText(const memo::v1::ListMethodsResponse& response) {
  Table table({{"METHOD"},
               {"STATE"},
               {"SCOPE"},
               {"MAX_ENTRIES", Align::kRight},
               {"MAX_TOTAL", Align::kRight},
               {"MAX_BYTES", Align::kRight},
               {"TTL", Align::kRight},
               {"TIMEOUT", Align::kRight},
               {"COALESCE"},
               {"UPSTREAM"}});
  for (const auto& method : response.methods()) {
    const auto& policy = method.policy();
    table.AddRow({method.method(), OrDash(method.state_type()), policy.scope(),
                  Bound(policy.has_max_entries(), policy.max_entries()),
                  Bound(policy.has_max_entries_total(), policy.max_entries_total()),
                  HumanBytes(policy.max_entry_bytes()),
                  policy.has_ttl() ? HumanSeconds(Seconds(policy.ttl())) : "-",
                  HumanSeconds(Seconds(policy.compute_timeout())), policy.coalesce() ? "yes" : "no",
                  OrDash(method.upstream())});
  }
  return table.Render();
}

std::string UpstreamsText(const memo::v1::ListUpstreamsResponse& response) {
  Table table({{"UPSTREAM"},
               {"TARGET"},
               {"CONNECTED"},
               {"FOR", Align::kRight},
               {"CALLS", Align::kRight},
               {"ERRORS", Align::kRight},
               {"SERVICES"}});
  for (const auto& upstream : response.upstreams()) {
    const std::string services = absl::StrJoin(upstream.services(), ",");
    table.AddRow({upstream.name(), upstream.target(), upstream.connected() ? "yes" : "no",
                  HumanSeconds(Seconds(upstream.state_age())), absl::StrCat(upstream.calls()),
                  absl::StrCat(upstream.errors()), services.empty() ? "(all others)" : services});
  }
  return table.Render();
}

// Names as in JSON, sizes to the byte: to be compared, with one another and with zero.
std::string DebugStateText(const memo::v1::GetDebugStateResponse& response) {
  const memo::v1::ServerGauges& gauges = response.gauges();
  Table table({{"ALIVE"}, {"NUMBER", Align::kRight}});
  for (int i = 0; i < gauges.GetDescriptor()->field_count(); ++i) {
    const auto* field = gauges.GetDescriptor()->field(i);
    table.AddRow({field->name(), absl::StrCat(gauges.GetReflection()->GetInt64(gauges, field))});
  }
  table.AddRow({"descriptors", absl::StrCat(response.descriptors())});
  return table.Render();
}

template <typename Response>
absl::StatusOr<std::string> Text(const CommandOptions& options,
                                 const absl::StatusOr<Response>& response,
                                 std::string (*text)(const Response&)) {
  if (!response.ok()) return response.status();
  return options.json ? ToJson(*response, options.json_indent) + "\n" : text(*response);
}

template <typename Response>
absl::StatusOr<std::string> ReceiptOf(const CommandOptions& options,
                                      const absl::StatusOr<Response>& response) {
  if (!response.ok()) return response.status();
  return ReceiptText(options, response->receipt());
}

}  // namespace

std::string FullName(const std::string& method) {
  return method.empty() || method[0] == '/' ? method : absl::StrCat("/", method);
}

std::string ReceiptText(const CommandOptions& options, const memo::v1::ReleaseReceipt& receipt) {
  return options.json ? ToJson(receipt, options.json_indent) + "\n" : ReceiptText(receipt);
}

std::string ReceiptText(const memo::v1::ReleaseReceipt& receipt) {
  return absl::StrCat("released ", receipt.entries(),
                      receipt.entries() == 1 ? " entry" : " entries", ", ",
                      HumanBytes(receipt.bytes()), ", ", HumanSeconds(receipt.compute_seconds()),
                      " of computation\n");
}

absl::StatusOr<memo::v1::ListSessionsResponse> AskForSessions(AdminPort& admin) {
  memo::v1::ListSessionsResponse all;
  memo::v1::ListSessionsRequest request;
  do {
    auto page = admin.Ask(&AdminService::Stub::ListSessions, request);
    if (!page.ok()) return page;
    request.set_page_token(page->next_page_token());
    for (auto& session : *page->mutable_sessions()) *all.add_sessions() = std::move(session);
  } while (!request.page_token().empty());
  return all;
}

absl::StatusOr<std::string> ShowCacheInfo(AdminPort& admin, const CommandOptions& options,
                                          const Scope& scope) {
  memo::v1::AdminServiceGetCacheInfoRequest request;
  request.set_session_id(scope.session_id);
  request.set_method(FullName(scope.method));
  return Text(options, admin.Ask(&AdminService::Stub::GetCacheInfo, request), &InfoText);
}

absl::StatusOr<std::string> ListSessions(AdminPort& admin, const CommandOptions& options) {
  return Text(options, AskForSessions(admin), &SessionsText);
}

absl::StatusOr<std::string> ListMethods(AdminPort& admin, const CommandOptions& options) {
  return Text(options, admin.Ask(&AdminService::Stub::ListMethods, memo::v1::ListMethodsRequest()),
              &MethodsText);
}

absl::StatusOr<std::string> ListUpstreams(AdminPort& admin, const CommandOptions& options) {
  return Text(options,
              admin.Ask(&AdminService::Stub::ListUpstreams, memo::v1::ListUpstreamsRequest()),
              &UpstreamsText);
}

absl::StatusOr<std::string> ShowDebugState(AdminPort& admin, const CommandOptions& options) {
  return Text(options,
              admin.Ask(&AdminService::Stub::GetDebugState, memo::v1::GetDebugStateRequest()),
              &DebugStateText);
}

absl::StatusOr<std::string> ClearCache(AdminPort& admin, const CommandOptions& options,
                                       const Scope& scope) {
  memo::v1::AdminServiceClearCacheRequest request;
  request.set_session_id(scope.session_id);
  request.set_method(FullName(scope.method));
  return ReceiptOf(options, admin.Ask(&AdminService::Stub::ClearCache, request));
}

absl::StatusOr<std::string> CloseSession(AdminPort& admin, const CommandOptions& options,
                                         const std::string& session_id) {
  memo::v1::AdminServiceCloseSessionRequest request;
  request.set_session_id(session_id);
  return ReceiptOf(options, admin.Ask(&AdminService::Stub::CloseSession, request));
}

}  // namespace memod
