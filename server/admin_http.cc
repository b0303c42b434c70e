#include "memod/server/admin_http.h"

#include <httplib.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memo/json.h"
#include "memod/server/config_values.h"

namespace memod {
namespace {

// Readers of cache_info and probes: few, so few threads.
constexpr int kThreads = 4;
constexpr int kTimeoutSeconds = 5;
constexpr size_t kMaxBody = 4096;  // no request has any

int HttpCode(absl::StatusCode code) { return code == absl::StatusCode::kNotFound ? 404 : 400; }

void ReplyError(const absl::Status& status, httplib::Response& response) {
  response.status = HttpCode(status.code());
  response.set_content(absl::StrCat(std::string(status.message()), "\n"), "text/plain");
}

void GetCacheInfo(Admin& admin, const httplib::Request& request, httplib::Response& response) {
  memo::v1::AdminServiceGetCacheInfoRequest query;
  for (const auto& [name, value] : request.params) {
    if (name == "session") {
      query.set_session_id(value);
    } else if (name == "method") {
      query.set_method(value);
    } else {
      return ReplyError(absl::InvalidArgumentError(absl::StrCat("unknown parameter ", name,
                                                                "; there are session and method")),
                        response);
    }
  }
  memo::v1::AdminServiceGetCacheInfoResponse info;
  if (absl::Status status = admin.GetCacheInfo(query, &info); !status.ok()) {
    return ReplyError(status, response);
  }
  response.set_content(ToJson(info, 2) + "\n", "application/json");
}

}  // namespace

struct AdminHttp::Impl {
  httplib::Server server;
  int port = 0;
  std::atomic<bool> ended{false};
  std::thread thread;
};

absl::StatusOr<std::unique_ptr<AdminHttp>> AdminHttp::Start(const std::string& address,
                                                            Admin& admin,
                                                            std::function<bool()> ready) {
  const std::optional<HostPort> parsed = ParseHostPort(address);
  if (!parsed) {
    return absl::InvalidArgumentError(absl::StrCat("\"", address, "\" is not host:port"));
  }
  const auto& [host, port] = *parsed;
  auto impl = std::make_unique<Impl>();
  httplib::Server& server = impl->server;
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
  server.Get("/cache_info", [&admin](const httplib::Request& request, httplib::Response& response) {
    GetCacheInfo(admin, request, response);
  });
  server.Get("/livez", [](const httplib::Request&, httplib::Response& response) {
    response.set_content("ok\n", "text/plain");
  });
  server.Get("/readyz",
             [ready = std::move(ready)](const httplib::Request&, httplib::Response& response) {
               const bool is_ready = ready();
               response.status = is_ready ? 200 : 503;
               response.set_content(is_ready ? "ok\n" : "not ready\n", "text/plain");
             });
  impl->port = port != 0 ? port : server.bind_to_any_port(host);
  if (impl->port < 0 || (port != 0 && !server.bind_to_port(host, port))) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", address, ": ", std::strerror(errno)));
  }
  impl->thread = std::thread([impl = impl.get()] {
    impl->server.listen_after_bind();
    impl->ended = true;
  });
  return std::unique_ptr<AdminHttp>(new AdminHttp(std::move(impl)));
}

AdminHttp::AdminHttp(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

AdminHttp::~AdminHttp() {
  // stop() does nothing to a server that does not listen yet.
  while (!impl_->server.is_running() && !impl_->ended) std::this_thread::yield();
  impl_->server.stop();
  impl_->thread.join();
}

int AdminHttp::port() const { return impl_->port; }

}  // namespace memod
