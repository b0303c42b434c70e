#include "memod/client/commands.h"

#include <grpcpp/create_channel.h>

#include <iostream>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "memo/json.h"
#include "memo/v1/admin.grpc.pb.h"
#include "memod/client/grpc_status.h"
#include "memod/client/table.h"

namespace memod {
namespace {

using memo::v1::AdminService;
using memo::v1::CacheInfo;
using Align = Table::Align;

constexpr int kIndent = 2;

// The admin port's answer to one question.
template <typename Request, typename Response>
absl::StatusOr<Response> Ask(const CommandOptions& options,
                             grpc::Status (AdminService::Stub::*method)(grpc::ClientContext*,
                                                                        const Request&, Response*),
                             const Request& request) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);  // the admin port is on loopback, or close by
  const auto stub = AdminService::NewStub(
      grpc::CreateCustomChannel(options.admin, grpc::InsecureChannelCredentials(), arguments));
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + options.timeout));
  Response response;
  const grpc::Status status = (stub.get()->*method)(&context, request, &response);
  if (status.ok()) return response;
  absl::Status why = FromGrpc(status);
  // These two tell that the answer is not the server's own; then it matters who was asked.
  if (!absl::IsUnavailable(why) && !absl::IsDeadlineExceeded(why)) return why;
  return absl::Status(why.code(),
                      absl::StrCat("admin port ", options.admin, ": ", status.error_message()));
}

std::string FullName(const std::string& method) {
  return method.empty() || method[0] == '/' ? method : absl::StrCat("/", method);
}

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
                      gauges.entries(), ", bytes ", HumanBytes(gauges.bytes()), "\n");
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
               {"COALESCE"}});
  for (const auto& method : response.methods()) {
    const auto& policy = method.policy();
    table.AddRow({method.method(), OrDash(method.state_type()), policy.scope(),
                  Bound(policy.has_max_entries(), policy.max_entries()),
                  Bound(policy.has_max_entries_total(), policy.max_entries_total()),
                  HumanBytes(policy.max_entry_bytes()),
                  policy.has_ttl() ? HumanSeconds(Seconds(policy.ttl())) : "-",
                  HumanSeconds(Seconds(policy.compute_timeout())),
                  policy.coalesce() ? "yes" : "no"});
  }
  return table.Render();
}

template <typename Response>
absl::Status Print(const CommandOptions& options, const absl::StatusOr<Response>& response,
                   std::string (*text)(const Response&)) {
  if (!response.ok()) return response.status();
  std::cout << (options.json ? ToJson(*response, kIndent) + "\n" : text(*response));
  return absl::OkStatus();
}

template <typename Response>
absl::Status PrintReceipt(const CommandOptions& options, const absl::StatusOr<Response>& response) {
  if (!response.ok()) return response.status();
  return Print(options, absl::StatusOr<memo::v1::ReleaseReceipt>(response->receipt()),
               &ReceiptText);
}

// Every page as one.
absl::StatusOr<memo::v1::ListSessionsResponse> AskForSessions(const CommandOptions& options) {
  memo::v1::ListSessionsResponse all;
  memo::v1::ListSessionsRequest request;
  do {
    auto page = Ask(options, &AdminService::Stub::ListSessions, request);
    if (!page.ok()) return page;
    request.set_page_token(page->next_page_token());
    for (auto& session : *page->mutable_sessions()) *all.add_sessions() = std::move(session);
  } while (!request.page_token().empty());
  return all;
}

}  // namespace

std::string ReceiptText(const memo::v1::ReleaseReceipt& receipt) {
  return absl::StrCat("released ", receipt.entries(),
                      receipt.entries() == 1 ? " entry" : " entries", ", ",
                      HumanBytes(receipt.bytes()), ", ", HumanSeconds(receipt.compute_seconds()),
                      " of computation\n");
}

absl::Status ShowCacheInfo(const CommandOptions& options, const Scope& scope) {
  memo::v1::AdminServiceGetCacheInfoRequest request;
  request.set_session_id(scope.session_id);
  request.set_method(FullName(scope.method));
  return Print(options, Ask(options, &AdminService::Stub::GetCacheInfo, request), &InfoText);
}

absl::Status ListSessions(const CommandOptions& options) {
  return Print(options, AskForSessions(options), &SessionsText);
}

absl::Status ListMethods(const CommandOptions& options) {
  return Print(options,
               Ask(options, &AdminService::Stub::ListMethods, memo::v1::ListMethodsRequest()),
               &MethodsText);
}

absl::Status ClearCache(const CommandOptions& options, const Scope& scope) {
  memo::v1::AdminServiceClearCacheRequest request;
  request.set_session_id(scope.session_id);
  request.set_method(FullName(scope.method));
  return PrintReceipt(options, Ask(options, &AdminService::Stub::ClearCache, request));
}

absl::Status CloseSession(const CommandOptions& options, const std::string& session_id) {
  memo::v1::AdminServiceCloseSessionRequest request;
  request.set_session_id(session_id);
  return PrintReceipt(options, Ask(options, &AdminService::Stub::CloseSession, request));
}

}  // namespace memod
