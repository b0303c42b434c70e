#include "memod/server/hosted_class.h"

#include <google/protobuf/descriptor.h>

#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "memod/cache/memo_error.h"
#include "memod/server/compute_pool.h"
#include "memod/server/grpc_status.h"
#include "memod/server/method_table.h"

namespace memod {
namespace internal {

absl::Status Undecodable(std::string_view what, const std::string& type) {
  return MemoError(absl::StatusCode::kInvalidArgument, memo_error::kBadRequest,
                   absl::StrCat("the ", std::string(what), " is not a valid ", type));
}

absl::StatusOr<Answer::Ref> Encode(const CacheKey& key, const google::protobuf::Message& reply,
                                   const Metadata& metadata) {
  const size_t size = reply.ByteSizeLong();
  if (size > INT_MAX) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the answer is ", size, " bytes, a message has at most ", INT_MAX));
  }
  const auto write = [&](char* to) {
    reply.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(to));
  };
  return Answer::Make(key, size, write, metadata);
}

}  // namespace internal

namespace {

// What runs here has begun, so it does not say that nothing has: clients would make its call again. An
// error that says so was told to it elsewhere, and goes on without the word. It stays one of memod's,
// and so is not remembered.
absl::Status HandedOn(absl::Status error) {
  const std::string_view word = MemoErrorWord(error);
  if (word == memo_error::kDraining || word == memo_error::kSessionNotFound) {
    error.SetPayload({kMemoErrorPayload.data(), kMemoErrorPayload.size()}, absl::Cord());
  }
  return error;
}

// Runs foreign code. What it throws ends here: unwinding further would end the process.
template <typename F>
auto RunForeign(const std::string& name, F&& run) -> decltype(run()) {
  try {
    auto result = run();
    if (!result.ok()) return HandedOn(result.status());
    return result;
  } catch (const std::exception& e) {
    return absl::InternalError(absl::StrCat(name, " threw: ", e.what()));
  } catch (...) {
    return absl::InternalError(absl::StrCat(name, " threw an unknown exception"));
  }
}

void Run(const HostedMethod& method, Computation computation, Dispatcher& dispatcher) {
  Flight& flight = computation.flight();
  if (!flight.Begin(Clock::now())) return computation.Finish(absl::CancelledError());
  computation.Finish(RunForeign(flight.method().name, [&] {
    CallContext context(dispatcher, flight);
    const void* instance = flight.self() == nullptr ? nullptr : flight.self()->instance.get();
    return method.run(instance, flight.request(), context);
  }));
}

void CheckMethod(const google::protobuf::ServiceDescriptor& service, const HostedMethod& method,
                 std::vector<std::string>& faults) {
  const std::string name = absl::StrCat(service.full_name(), ".", method.name);
  const google::protobuf::MethodDescriptor* rpc = service.FindMethodByName(method.name);
  if (rpc == nullptr) {
    faults.push_back(absl::StrCat(name, ": no such rpc in ", service.file()->name()));
    return;
  }
  if (rpc->client_streaming() || rpc->server_streaming()) {
    faults.push_back(absl::StrCat(name, ": only unary methods can be memoized"));
  }
  const auto compare = [&](const char* what, const std::string& in_proto, const std::string& here) {
    if (in_proto != here) {
      faults.push_back(absl::StrCat(name, ": its ", what, " is ", in_proto, " in ",
                                    service.file()->name(), ", ", here, " as registered"));
    }
  };
  compare("request", rpc->input_type()->full_name(), method.request_type);
  compare("reply", rpc->output_type()->full_name(), method.response_type);
}

}  // namespace

absl::Status Registry::Check() const {
  std::vector<std::string> faults;
  std::set<std::string> seen;  // services, methods and types of state: all different by form
  std::set<const void*> tags;
  constexpr Duration kTick(1);
  const auto once = [&](const std::string& what) {
    if (!seen.insert(what).second) faults.push_back(absl::StrCat(what, ": registered twice"));
  };
  for (const auto& service : services_) {
    once(service->name);
    if (!service->state_type.empty()) once(absl::StrCat("state ", service->state_type));
    const auto* descriptor =
        google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(service->name);
    if (descriptor == nullptr) {
      faults.push_back(absl::StrCat(service->name, ": no such service in the .protos compiled in"));
      continue;
    }
    for (const HostedMethod& method : service->methods) {
      once(absl::StrCat("/", service->name, "/", method.name));
      if (!tags.insert(method.tag).second) {
        faults.push_back(absl::StrCat(method.name, ": registered under two names"));
      }
      if (method.policy.compute_timeout <= Duration::zero() ||
          method.policy.ttl.value_or(kTick) <= Duration::zero()) {
        faults.push_back(absl::StrCat(method.name, ": compute_timeout and ttl must be above 0"));
      }
      CheckMethod(*descriptor, method, faults);
    }
  }
  if (faults.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the registered services do not fit: ", absl::StrJoin(faults, "; ")));
}

ComputeFn MakeComputeFn(const HostedMethod& method, ComputePool& pool, Dispatcher& dispatcher) {
  return [&method, &pool, &dispatcher](Computation computation) {
    if (computation.flight().parent() != nullptr) {
      return Run(method, std::move(computation), dispatcher);
    }
    const std::shared_ptr<Flight> flight = computation.shared_flight();
    auto job = [&method, &dispatcher,
                computation = std::move(computation)](const absl::Status& status) mutable {
      if (!status.ok()) return computation.Finish(status);
      Run(method, std::move(computation), dispatcher);
    };
    pool.Submit(std::move(job), [flight] { return !flight->cancelled(); });
  };
}

absl::StatusOr<std::shared_ptr<const void>> CreateInstance(const HostedService& service,
                                                           std::string_view state,
                                                           const Metadata& session_metadata) {
  return RunForeign(service.name, [&] { return service.create(state, session_metadata); });
}

}  // namespace memod
