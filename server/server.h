// A memod server in this process: three listeners, the hosted services behind the first.
//
//   data port    the hosted services, SessionService, health, reflection
//   admin port   AdminService, reflection
//   admin HTTP   a page, /cache_info, /sessions, /methods, /metrics, probes (admin_http.h)
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "memod/server/config.h"
#include "memod/server/hosted_class.h"

namespace memod {

class Server {
 public:
  // INVALID_ARGUMENT: the registry does not fit the .protos, or a [[method]] of the configuration
  // no hosted method; each that does not. Or files of TLS that are not right.
  static absl::Status Check(const Config& config, const Registry& registry);
  // Serves when this returns. `registry` outlives the server.
  // INVALID_ARGUMENT: as Check says.
  // UNAVAILABLE: an address cannot be listened on; which, and why.
  // `used_memory`, for tests: how much memory is in use, in place of what the kernel says.
  using UsedMemory = std::function<std::optional<int64_t>()>;
  static absl::StatusOr<std::unique_ptr<Server>> Start(const Config& config,
                                                       const Registry& registry,
                                                       UsedMemory used_memory = nullptr);
  // Stops without waiting for calls, but for hosted code that is running.
  ~Server();

  // Those really bound, also where the configuration says 0. 0: a unix socket, or off.
  int port() const;
  int admin_port() const;
  int http_port() const;

  // Takes the server out of service: readiness off, clients told, new sessions refused; waits up to
  // server.drain_timeout until no call is in flight, and while there are sessions, which clients
  // move elsewhere, until none has come for a second; then closes the sessions and the listeners.
  // Once; not from a call's own thread. Returns within drain_timeout and a second unless hosted
  // code that does not heed its context holds it up.
  void Drain();

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);
  void Stop(Time until);
  std::unique_ptr<Parts> parts_;
};

}  // namespace memod
