// The administrator's port for people and probes, over HTTP:
//   /                                        a page for people: what is remembered, and for whom
//   /cache_info[?session=ID][&method=NAME]   JSON, as AdminService.GetCacheInfo
//   /sessions[?page_size=N][&page_token=T]   JSON, as AdminService.ListSessions
//   /methods                                 JSON, as AdminService.ListMethods
//   /upstreams                               JSON, as AdminService.ListUpstreams
//   /metrics                                 what was counted, for Prometheus
//   /livez                                   200 as long as the process serves
//   /readyz                                  200; 503 before it serves, once it is stopping, and while
//                                            there is no memory for calls; a line for memory where it
//                                            is short, and for each upstream, connected or not
//
// Short of memory memod stays ready as long as it takes calls. Before that it turns away new sessions
// alone, and says so: who fronts a service may have none, and his calls are well answered here.
//
// An upstream that is down leaves memod ready: it still answers what it remembers, what it hosts and
// what other upstreams compute, and so do all its replicas, none of which would be left. Who wants
// to know of upstreams looks at memod_upstream_connected, or asks the data port for the health of
// their services.
//
// GET and HEAD; nothing here changes anything, and no handle of a session is ever told. With TLS and
// a client CA all but the last two want a client certificate: probes have none.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "memod/server/admin.h"
#include "memod/server/tls.h"

namespace memod {

class AdminHttp {
 public:
  // Serves on threads of its own until destroyed. `address` is host:port, [ipv6]:port; port 0 picks
  // one. `tls` null: plaintext. `tls` and `admin` outlive it; `ready` is called from its threads.
  // UNAVAILABLE: the port is taken.
  static absl::StatusOr<std::unique_ptr<AdminHttp>> Start(const std::string& address,
                                                          ListenerTls* tls, Admin& admin,
                                                          std::function<bool()> ready);
  ~AdminHttp();

  int port() const;

 private:
  struct Impl;
  explicit AdminHttp(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace memod
