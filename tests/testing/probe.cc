#include "memod/tests/testing/probe.h"

#include <utility>

namespace memod {

using memo::testing::v1::ProbeRequest;
using memo::testing::v1::ProbeResponse;
using memo::testing::v1::ProbeState;

namespace {

Lab* current = nullptr;

template <auto kMethod>
absl::StatusOr<std::string> CallNested(CallContext* context, const std::string& key) {
  ProbeRequest request;
  request.set_key(key);
  auto response = context->Call<kMethod>(request);
  if (!response.ok()) return response.status();
  return response->value();
}

}  // namespace

absl::StatusOr<std::string> Computing::Compute(const std::string& other_key) {
  return CallNested<&Probe::Compute>(context, other_key);
}
absl::StatusOr<std::string> Computing::Other(const std::string& other_key) {
  return CallNested<&Probe::Other>(context, other_key);
}
absl::StatusOr<std::string> Computing::Shared(const std::string& other_key) {
  return CallNested<&Probe::Shared>(context, other_key);
}

bool Computing::AwaitCancelled() const {
  return static_cast<bool>(Soon([&] { return context->cancelled(); }, true));
}

Lab::Lab() { current = this; }
Lab::~Lab() { current = nullptr; }
Lab& Lab::Current() { return *current; }

void Lab::On(const std::string& key, Script script) {
  const std::lock_guard lock(mutex_);
  scripts_[key] = std::move(script);
}

void Lab::OnOpen(const std::string& id, Opening opening) {
  const std::lock_guard lock(mutex_);
  openings_[id] = std::move(opening);
}

Gate& Lab::gate(const std::string& name) {
  const std::lock_guard lock(mutex_);
  return gates_[name];
}

void Lab::OpenGates() {
  const std::lock_guard lock(mutex_);
  for (auto& [name, gate] : gates_) gate.Open();
}

int Lab::computed(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto it = computed_.find(key);
  return it == computed_.end() ? 0 : it->second;
}

int Lab::openings(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto it = opened_.find(id);
  return it == opened_.end() ? 0 : it->second.first;
}

Metadata Lab::opened_with(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto it = opened_.find(id);
  return it == opened_.end() ? Metadata() : it->second.second;
}

absl::Status Lab::Open(const std::string& id, const Metadata& session_metadata) {
  Opening opening;
  {
    const std::lock_guard lock(mutex_);
    ++opened_[id].first;
    opened_[id].second = session_metadata;
    if (const auto it = openings_.find(id); it != openings_.end()) opening = it->second;
  }
  return opening == nullptr ? absl::OkStatus() : opening();
}

absl::StatusOr<ProbeResponse> Lab::Run(const std::string& self, int instance,
                                       const ProbeRequest& request, CallContext* context) {
  const std::string& key = request.key();
  Script script;
  int nth = 0;
  {
    const std::lock_guard lock(mutex_);
    nth = ++computed_[key];
    if (const auto it = scripts_.find(key); it != scripts_.end()) script = it->second;
  }
  Computing computing{self, instance, key, nth, context, request};
  absl::StatusOr<std::string> value = self.empty() ? key : self + ":" + key;
  if (script != nullptr) value = script(computing);
  if (!value.ok()) return value.status();
  ProbeResponse response;
  response.set_value(*std::move(value));
  return response;
}

absl::StatusOr<std::unique_ptr<Probe>> Probe::Create(const ProbeState& state,
                                                     const Metadata& session_metadata) {
  absl::Status status = Lab::Current().Open(state.id(), session_metadata);
  if (!status.ok()) return status;
  return std::make_unique<Probe>(state.id());
}

absl::StatusOr<std::unique_ptr<Twin>> Twin::Create(const memo::testing::v1::TwinState& state) {
  return std::make_unique<Twin>(state.id());
}

Probe::Probe(std::string id) : id_(std::move(id)), instance_(++Lab::Current().instances_made_) {
  ++Lab::Current().instances_;
}
Probe::~Probe() { --Lab::Current().instances_; }

Probe::Reply Probe::Compute(const Request& request, CallContext& context) const {
  return Lab::Current().Run(id_, instance_, request, &context);
}
Probe::Reply Probe::Other(const Request& request) const {
  return Lab::Current().Run(id_, instance_, request, nullptr);
}
Probe::Reply Probe::Property(const google::protobuf::Empty&, CallContext& context) const {
  return Lab::Current().Run(id_, instance_, ProbeRequest(), &context);
}
Probe::Reply Probe::Shared(const Request& request, CallContext& context) {
  return Lab::Current().Run("", 0, request, &context);
}
Probe::Reply Probe::Static(const Request& request) {
  return Lab::Current().Run("", 0, request, nullptr);
}

Twin::Reply Twin::Compute(const Request& request, CallContext& context) const {
  return Probe::Compute(request, context);
}

void RegisterProbe(Registry& registry, const ProbePolicies& policies) {
  auto probe = registry.Class<&Probe::Create>("memo.testing.v1.Probe");
  if (policies.share_equal_states) probe.ShareEqualStates();
  probe  //
      .Method<&Probe::Compute>("Compute", policies.compute)
      .Method<&Probe::Other>("Other", policies.other)
      .Method<&Probe::Property>("Property", policies.property)
      .Function<&Probe::Shared>("Shared", policies.shared)
      .Function<&Probe::Static>("Static", policies.static_);
}

void RegisterTwin(Registry& registry) {
  registry.Class<&Twin::Create>("memo.testing.v1.Twin")
      .ShareEqualStates()
      .Method<&Twin::Compute>("Compute");
}

}  // namespace memod
