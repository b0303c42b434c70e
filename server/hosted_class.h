// Hosting C++ classes: a session is an instance, its const methods are memoized RPCs.
//
//   class SlowAdder {
//    public:
//     static absl::StatusOr<std::unique_ptr<SlowAdder>> Create(const SlowAdderState& state);
//     absl::StatusOr<CalculateResponse> Calculate(const CalculateRequest& request) const;
//   };
//
//   memod::Registry registry;
//   registry.Class<&SlowAdder::Create>("memo.examples.v1.SlowAdder")   // the service in the .proto
//       .Method<&SlowAdder::Calculate>("Calculate", {.max_entries = 1000})
//       .Function<&Version>("Version");                 // no instance: shared by all sessions
//   return memod::Main(argc, argv, registry);           // server/main.h
//
// A factory may take what session.metadata captured as well: Create(const SlowAdderState& state,
// const memod::Metadata& captured).
//
// Methods are called from many threads at once, on one instance: const must mean thread-safe. A
// method that throws answers INTERNAL. The instance is destroyed when its session has closed and
// its last running call has returned.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <concepts>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "memod/cache/policy.h"
#include "memod/server/call_context.h"
#include "memod/server/method_traits.h"

namespace memod {

// A method as registered, its types taken off. Made by the templates below.
struct HostedMethod {
  std::string name;  // "Calculate"
  Policy policy;
  const google::protobuf::Descriptor* request;
  std::string request_type;
  std::string response_type;
  const void* tag;
  // `instance` is null for a function. Throws what the method throws.
  std::function<absl::StatusOr<Answer::Ref>(const void* instance, std::string_view request,
                                            CallContext& context)>
      run;
};

// A service of a .proto whose methods this process computes.
struct HostedService {
  std::string name;        // "memo.examples.v1.SlowAdder"
  std::string state_type;  // "memo.examples.v1.SlowAdderState"; empty: functions only
  std::function<absl::StatusOr<std::shared_ptr<const void>>(std::string_view state,
                                                            const Metadata& session_metadata)>
      create;
  // State scope: sessions with equal states share an instance and its entries.
  bool shares_equal_states = false;
  std::vector<HostedMethod> methods;
};

namespace internal {

template <typename M>
constexpr bool kIsMessage = std::derived_from<M, google::protobuf::Message>;

template <typename F>
struct FactoryOf {
  static constexpr bool kKnown = false;
};
template <typename T, typename S>
struct FactoryOf<absl::StatusOr<std::unique_ptr<T>> (*)(const S&)> {
  static constexpr bool kKnown = true;
  static constexpr bool kMetadata = false;
  using Class = T;
  using State = S;
};
template <typename T, typename S>
struct FactoryOf<absl::StatusOr<std::unique_ptr<T>> (*)(const S&, const Metadata&)>
    : FactoryOf<absl::StatusOr<std::unique_ptr<T>> (*)(const S&)> {
  static constexpr bool kMetadata = true;
};

absl::Status Undecodable(std::string_view what, const std::string& type);
absl::StatusOr<Answer::Ref> Encode(const CacheKey& key, const google::protobuf::Message& reply,
                                   const Metadata& metadata);

template <typename M>
absl::StatusOr<M> Decode(std::string_view bytes, std::string_view what) {
  M message;
  if (message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return message;
  return Undecodable(what, M::descriptor()->full_name());
}

template <typename T, auto kMethod>
HostedMethod MakeMethod(std::string name, const Policy& policy) {
  using Traits = MethodTraits<kMethod>;
  const auto run = [](const void* instance, std::string_view bytes,
                      CallContext& context) -> absl::StatusOr<Answer::Ref> {
    auto request = Decode<typename Traits::Request>(bytes, "request");
    if (!request.ok()) return request.status();
    // What the key has not, the answer must not depend on.
    if (context.key_mode() == KeyMode::kMessage) request->DiscardUnknownFields();
    absl::StatusOr<typename Traits::Reply> reply = [&] {
      if constexpr (std::is_void_v<typename Traits::Class>) {
        if constexpr (Traits::kContext)
          return kMethod(*request, context);
        else
          return kMethod(*request);
      } else {
        const T& self = *static_cast<const T*>(instance);
        if constexpr (Traits::kContext)
          return (self.*kMethod)(*request, context);
        else
          return (self.*kMethod)(*request);
      }
    }();
    if (!reply.ok()) return reply.status();
    return Encode(context.key(), *reply, context.answer_metadata());
  };
  return {std::move(name),
          policy,
          Traits::Request::descriptor(),
          Traits::Request::descriptor()->full_name(),
          Traits::Reply::descriptor()->full_name(),
          MethodTag<kMethod>(),
          run};
}

}  // namespace internal

// Registers the methods of one service, of the class T (void: functions only).
template <typename T>
class ServiceBuilder {
 public:
  explicit ServiceBuilder(HostedService& service) : service_(service) {}

  // A const method of T: memoized for each session. `name` is the rpc's in the .proto.
  template <auto kMethod>
  ServiceBuilder& Method(std::string name, Policy policy = {}) {
    using Traits = MethodTraits<kMethod>;
    static_assert(Traits::kKnown,
                  "memod: a hosted method is StatusOr<Reply> M(const Request&) const, or "
                  "StatusOr<Reply> M(const Request&, memod::CallContext&) const");
    if constexpr (Traits::kKnown) {
      static_assert(Traits::kConst,
                    "memod: a hosted method must be const: its answers are remembered, so a call "
                    "must not change the instance");
      static_assert(!std::is_void_v<typename Traits::Class>,
                    "memod: a function without an instance is registered with Function<>");
      static_assert(internal::kIsMessage<typename Traits::Request> &&
                        internal::kIsMessage<typename Traits::Reply>,
                    "memod: request and reply of a hosted method are protobuf messages");
      if constexpr (Traits::kConst && !std::is_void_v<typename Traits::Class>) {
        static_assert(std::derived_from<T, typename Traits::Class>,
                      "memod: a hosted method belongs to the class that the factory makes");
        policy.scope = Scope::kSession;
        service_.methods.push_back(internal::MakeMethod<T, kMethod>(std::move(name), policy));
      }
    }
    return *this;
  }

  // Sessions opened with equal states (and equal session.metadata) share one instance and what is
  // remembered for it, until the last of them is gone; one that updates its state leaves. Right
  // where two instances made from equal states answer alike, for good. Equal are equal bytes: states
  // whose bytes differ, as a map's order may, merely do not share.
  ServiceBuilder& ShareEqualStates() {
    static_assert(!std::is_void_v<T>, "memod: functions have no state to share");
    service_.shares_equal_states = true;
    return *this;
  }

  // A function without an instance: its answers are shared by everybody, with or without a session.
  template <auto kFunction>
  ServiceBuilder& Function(std::string name, Policy policy = {}) {
    using Traits = MethodTraits<kFunction>;
    static_assert(Traits::kKnown && std::is_void_v<typename Traits::Class>,
                  "memod: a hosted function is StatusOr<Reply> F(const Request&), or "
                  "StatusOr<Reply> F(const Request&, memod::CallContext&)");
    if constexpr (Traits::kKnown && std::is_void_v<typename Traits::Class>) {
      policy.scope = Scope::kServer;
      service_.methods.push_back(internal::MakeMethod<void, kFunction>(std::move(name), policy));
    }
    return *this;
  }

 private:
  HostedService& service_;
};

// The services that a server hosts. Filled before the server starts; not thread-safe.
class Registry {
 public:
  // A class whose instances are made by kFactory, StatusOr<unique_ptr<T>> F(const State&) or
  // F(const State&, const Metadata&): a session opened with such a State gets an instance.
  // `service` is the full name of a service in a .proto that is compiled in.
  template <auto kFactory>
  auto Class(std::string service) {
    using Factory = internal::FactoryOf<decltype(kFactory)>;
    static_assert(
        Factory::kKnown,
        "memod: a factory is StatusOr<std::unique_ptr<T>> F(const State&) or F(const State&, const "
        "memod::Metadata&), where State is a protobuf message");
    using State = typename Factory::State;
    static_assert(internal::kIsMessage<State>, "memod: the state is a protobuf message");
    const auto create =
        [](std::string_view bytes,
           const Metadata& session_metadata) -> absl::StatusOr<std::shared_ptr<const void>> {
      auto state = internal::Decode<State>(bytes, "state");
      if (!state.ok()) return state.status();
      auto instance = [&] {
        if constexpr (Factory::kMetadata)
          return kFactory(*state, session_metadata);
        else
          return kFactory(*state);
      }();
      if (!instance.ok()) return instance.status();
      if (*instance == nullptr) return absl::InternalError("the factory returned null");
      return std::shared_ptr<const void>(
          std::shared_ptr<typename Factory::Class>(*std::move(instance)));
    };
    return ServiceBuilder<typename Factory::Class>(
        Add({std::move(service), State::descriptor()->full_name(), create, false, {}}));
  }

  // A service of functions, which have no instance.
  ServiceBuilder<void> Functions(std::string service) {
    return ServiceBuilder<void>(Add({std::move(service), "", nullptr, false, {}}));
  }

  const std::vector<std::unique_ptr<HostedService>>& services() const { return services_; }

  // Whether what is registered is what the compiled .protos say.
  // INVALID_ARGUMENT, naming each that is not: no such service or method, a streaming method, other
  // types than registered, registered twice, two classes with one type of state.
  absl::Status Check() const;

 private:
  HostedService& Add(HostedService service) {
    return *services_.emplace_back(std::make_unique<HostedService>(std::move(service)));
  }

  std::vector<std::unique_ptr<HostedService>> services_;
};

class Computation;
class ComputePool;

// A method's ComputeFn: runs it on the pool, a nested call on its caller's thread. All outlive it.
std::function<void(Computation)> MakeComputeFn(const HostedMethod& method, ComputePool& pool,
                                               Dispatcher& dispatcher);

// Makes an instance; an exception is INTERNAL.
absl::StatusOr<std::shared_ptr<const void>> CreateInstance(const HostedService& service,
                                                           std::string_view state,
                                                           const Metadata& session_metadata);

}  // namespace memod
