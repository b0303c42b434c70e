#include "memod/server/admin_http.h"

#include <httplib.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "memo/json.h"
#include "memod/cache/memo_error.h"
#include "memod/server/config_values.h"
#include "memod/server/metrics.h"
#include "memod/server/page/assets.h"
#include "memod/server/page/page.h"

namespace memod {
namespace {

// Administrators, scrapers and probes are few. But a connection on which nothing comes, as browsers
// open them in advance, takes a thread until the timeout, and probes must be answered meanwhile.
constexpr int kThreads = 32;
constexpr int kTimeoutSeconds = 5;
constexpr size_t kMaxBody = 4096;  // no request has any

using httplib::Request;
using httplib::Response;

int HttpCode(absl::StatusCode code) { return code == absl::StatusCode::kNotFound ? 404 : 400; }

void ReplyText(int code, const std::string& text, Response& response) {
  response.status = code;
  response.set_content(text + "\n", "text/plain; charset=utf-8");
}

void ReplyError(const absl::Status& status, Response& response) {
  ReplyText(HttpCode(status.code()), std::string(status.message()), response);
}

void ReplyJson(const absl::Status& status, const google::protobuf::Message& message,
               Response& response) {
  if (!status.ok()) return ReplyError(status, response);
  response.set_content(ToJson(message, 2) + "\n", "application/json");
}

// Where a parameter's value goes.
struct Parameter {
  const char* name;
  std::function<absl::Status(const std::string& value)> set;
};

Parameter Text(const char* name, std::string* to) {
  return {name, [to](const std::string& value) {
            *to = value;
            return absl::OkStatus();
          }};
}

absl::Status ReadParameters(const Request& request, const std::vector<Parameter>& parameters) {
  for (const auto& [name, value] : request.params) {
    const auto known = std::find_if(parameters.begin(), parameters.end(),
                                    [&name = name](auto& each) { return each.name == name; });
    if (known == parameters.end()) {
      const std::string names = absl::StrJoin(
          parameters, " and ", [](std::string* out, auto& each) { out->append(each.name); });
      return absl::InvalidArgumentError(absl::StrCat(
          "unknown parameter ", Quoted(name), "; there is ", names.empty() ? "none" : names));
    }
    if (absl::Status status = known->set(value); !status.ok()) return status;
  }
  return absl::OkStatus();
}

Parameter PageSize(memo::v1::ListSessionsRequest& list) {
  return {"page_size", [&list](const std::string& value) {
            int32_t size = 0;
            if (!absl::SimpleAtoi(value, &size)) {
              return absl::InvalidArgumentError(
                  absl::StrCat("page_size is ", Quoted(value), ", want 0 to 1000"));
            }
            list.set_page_size(size);
            return absl::OkStatus();
          }};
}

void GetCacheInfo(Admin& admin, const Request& request, Response& response) {
  memo::v1::AdminServiceGetCacheInfoRequest query;
  memo::v1::AdminServiceGetCacheInfoResponse info;
  absl::Status status = ReadParameters(request, {Text("session", query.mutable_session_id()),
                                                 Text("method", query.mutable_method())});
  if (status.ok()) status = admin.GetCacheInfo(query, &info);
  ReplyJson(status, info, response);
}

void GetSessions(Admin& admin, const Request& request, Response& response) {
  memo::v1::ListSessionsRequest query;
  memo::v1::ListSessionsResponse sessions;
  absl::Status status =
      ReadParameters(request, {PageSize(query), Text("page_token", query.mutable_page_token())});
  if (status.ok()) status = admin.ListSessions(query, &sessions);
  ReplyJson(status, sessions, response);
}

void GetMethods(Admin& admin, const Request& request, Response& response) {
  memo::v1::ListMethodsResponse methods;
  absl::Status status = ReadParameters(request, {});
  if (status.ok()) status = admin.ListMethods({}, &methods);
  ReplyJson(status, methods, response);
}

void GetUpstreams(Admin& admin, const Request& request, Response& response) {
  ReplyJson(ReadParameters(request, {}), admin.ListUpstreams(), response);
}

// For probes, which look at the code, and for people.
void GetReadiness(Admin& admin, bool ready, Response& response) {
  const MemoryPressure& memory = admin.memory();
  ready = ready && memory.step() < MemoryPressure::Step::kNoCalls;
  std::string text = ready ? "ok" : "not ready";
  if (memory.step() > MemoryPressure::Step::kNone) {
    absl::StrAppend(&text, "\nmemory: ", MemoryPressure::Name(memory.step()), ", ", memory.used(),
                    " of ", *memory.limit(), " bytes are in use");
  }
  const memo::v1::ListUpstreamsResponse upstreams = admin.ListUpstreams();
  for (const auto& upstream : upstreams.upstreams()) {
    absl::StrAppend(&text, "\nupstream ", upstream.name(), ": ", upstream.connected() ? "" : "not ",
                    "connected for ", upstream.state_age().seconds(), " s");
  }
  ReplyText(ready ? 200 : 503, text, response);
}

void GetMetrics(Admin& admin, const Request& request, Response& response) {
  if (absl::Status status = ReadParameters(request, {}); !status.ok()) {
    return ReplyError(status, response);
  }
  response.set_content(MetricsText(admin.History(), admin.ListUpstreams()), kMetricsType);
}

void GetPage(Admin& admin, bool ready, const Request& request, Response& response) {
  page::Content content;
  content.serving = ready;
  memo::v1::ListSessionsRequest query;
  query.set_page_size(page::kSessions);
  absl::Status status = ReadParameters(request, {Text("page_token", query.mutable_page_token())});
  content.upstreams = admin.ListUpstreams();
  content.first = query.page_token().empty();
  if (status.ok()) status = admin.GetCacheInfo({}, &content.info);
  if (status.ok()) status = admin.ListSessions(query, &content.sessions);
  if (!status.ok()) return ReplyError(status, response);
  response.set_header("Content-Security-Policy", page::kSecurityPolicy);
  response.set_content(page::Html(content), "text/html; charset=utf-8");
}

// Each path, and who answers it.
using Paths = std::map<std::string, std::function<void(const Request&, Response&)>>;

Paths MakePaths(Admin& admin, std::function<bool()> ready) {
  const auto asset = [](std::string_view text, const char* type) {
    return [text, type](const Request&, Response& response) {
      response.set_content(text.data(), text.size(), type);
    };
  };
  using namespace std::placeholders;
  return {
      {"/", [&admin, ready](auto& request,
                            auto& response) { GetPage(admin, ready(), request, response); }},
      {"/cache_info", std::bind(&GetCacheInfo, std::ref(admin), _1, _2)},
      {"/sessions", std::bind(&GetSessions, std::ref(admin), _1, _2)},
      {"/methods", std::bind(&GetMethods, std::ref(admin), _1, _2)},
      {"/upstreams", std::bind(&GetUpstreams, std::ref(admin), _1, _2)},
      {"/metrics", std::bind(&GetMetrics, std::ref(admin), _1, _2)},
      {"/livez", [](auto&, auto& response) { ReplyText(200, "ok", response); }},
      {"/readyz",
       [&admin, ready](auto&, auto& response) { GetReadiness(admin, ready(), response); }},
      {"/page.css", asset(page::kCss, "text/css; charset=utf-8")},
      {"/page.js", asset(page::kJs, "text/javascript; charset=utf-8")},
      {"/icon.svg", asset(page::kIcon, "image/svg+xml")},
  };
}

// Whether the client may see this path. Probes have no client certificate.
bool MaySee(const ListenerTls* tls, const Request& request) {
  return tls == nullptr || request.path == "/livez" || request.path == "/readyz" ||
         tls->IsKnown(*request.ssl);
}

void Reply(const Paths& paths, const ListenerTls* tls, const Request& request, Response& response) {
  response.set_header("Cache-Control", "no-store");
  response.set_header("X-Content-Type-Options", "nosniff");
  if (!MaySee(tls, request)) {
    return ReplyText(403, "want a client certificate; only /livez and /readyz are for all",
                     response);
  }
  const auto path = paths.find(request.path);
  if (path == paths.end()) {
    const std::string known =
        absl::StrJoin(paths, ", ", [](std::string* out, auto& each) { out->append(each.first); });
    return ReplyText(404, absl::StrCat("no path ", Quoted(request.path), "; there are ", known),
                     response);
  }
  if (request.method != "GET" && request.method != "HEAD") {
    response.set_header("Allow", "GET, HEAD");
    return ReplyText(405, absl::StrCat("method ", request.method, "; want GET or HEAD"), response);
  }
  path->second(request, response);
}

}  // namespace

struct AdminHttp::Impl {
  explicit Impl(ListenerTls* tls)
      : server(tls == nullptr ? std::make_unique<httplib::Server>()
                              : std::make_unique<httplib::SSLServer>(
                                    [tls](SSL_CTX& context) { return tls->SetUp(context); })) {}

  const std::unique_ptr<httplib::Server> server;
  int port = 0;
  std::atomic<bool> ended{false};
  std::thread thread;
};

absl::StatusOr<std::unique_ptr<AdminHttp>> AdminHttp::Start(const std::string& address,
                                                            ListenerTls* tls, Admin& admin,
                                                            std::function<bool()> ready) {
  const std::optional<HostPort> parsed = ParseHostPort(address);
  if (!parsed) {
    return absl::InvalidArgumentError(absl::StrCat("\"", address, "\" is not host:port"));
  }
  const auto& [host, port] = *parsed;
  auto impl = std::make_unique<Impl>(tls);
  httplib::Server& server = *impl->server;
  server.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  server.set_read_timeout(kTimeoutSeconds);
  server.set_write_timeout(kTimeoutSeconds);
  // One answer per connection: an idle one would hold a thread, and a stop up.
  server.set_keep_alive_max_count(1);
  server.set_payload_max_length(kMaxBody);
  // Not the library's default, which shares a taken port silently.
  server.set_socket_options([](socket_t socket) {
    const int on = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  });
  // Before anything of the library's own, whose routes know neither 405 nor what there is.
  server.set_pre_routing_handler([tls, paths = MakePaths(admin, std::move(ready))](
                                     const Request& request, Response& response) {
    Reply(paths, tls, request, response);
    return httplib::Server::HandlerResponse::Handled;
  });
  impl->port = port != 0 ? port : server.bind_to_any_port(host);
  if (impl->port < 0 || (port != 0 && !server.bind_to_port(host, port))) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", address, ": ", std::strerror(errno)));
  }
  impl->thread = std::thread([impl = impl.get()] {
    impl->server->listen_after_bind();
    impl->ended = true;
  });
  return std::unique_ptr<AdminHttp>(new AdminHttp(std::move(impl)));
}

AdminHttp::AdminHttp(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

AdminHttp::~AdminHttp() {
  // stop() does nothing to a server that does not listen yet.
  while (!impl_->server->is_running() && !impl_->ended) std::this_thread::yield();
  impl_->server->stop();
  impl_->thread.join();
}

int AdminHttp::port() const { return impl_->port; }

}  // namespace memod
