#include "memod/server/method_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memod/cache/memo_error.h"

namespace memod {

Computation::Computation(std::shared_ptr<Flight> flight, ComputeTimeouts& timeouts)
    : flight_(std::move(flight)), timeouts_(&timeouts) {
  timeouts_->Watch(flight_);
}

Computation::~Computation() {
  if (flight_ != nullptr)
    Finish(MemoError(absl::StatusCode::kInternal, memo_error::kDropped,
                     "the computation was dropped"));
}

void Computation::Finish(absl::StatusOr<Answer::Ref> answer) {
  const std::shared_ptr<Flight> flight = std::move(flight_);
  timeouts_->Unwatch(*flight);
  flight->Complete(std::move(answer), Clock::now());
}

Method& MethodTable::Add(std::string name, const Policy& policy, std::string state_type) {
  const std::string cache = policy.cache.empty() ? name : policy.cache;
  auto& bounds = caches_[{state_type, cache}];
  if (bounds == nullptr) bounds = std::make_shared<CacheBounds>(cache, policy);
  std::vector<std::string> metadata = policy.key_metadata;
  metadata.insert(metadata.end(), policy.forward.begin(), policy.forward.end());
  const auto id = static_cast<uint32_t>(methods_.size());
  Method& method = methods_.emplace_back(Method{.memo{id, name, policy, bounds},
                                                .state_type = std::move(state_type),
                                                .any_session = false,
                                                .metadata = std::move(metadata),
                                                .compute{},
                                                .request_type{},
                                                .response_type{},
                                                .message{}});
  by_name_.emplace(std::move(name), &method);
  return method;
}

const Method* MethodTable::Find(std::string_view name) const {
  const auto it = by_name_.find(std::string(name));
  return it == by_name_.end() ? nullptr : it->second;
}

const Method* MethodTable::FindTag(const void* tag) const {
  for (const Method& method : methods_) {
    if (method.tag == tag) return &method;
  }
  return nullptr;
}

absl::StatusOr<const Method*> MethodTable::Get(std::string_view name) const {
  if (const Method* method = Find(name)) return method;
  return absl::NotFoundError(absl::StrCat("no memoized method ", Quoted(name),
                                          "; a name is like /package.Service/Method"));
}

std::vector<const Method*> MethodTable::All() const {
  std::vector<const Method*> methods;
  for (const Method& method : methods_) methods.push_back(&method);
  std::sort(methods.begin(), methods.end(),
            [](auto* a, auto* b) { return a->memo.name < b->memo.name; });
  return methods;
}

std::vector<const Method*> MethodTable::OfState(std::string_view state_type) const {
  std::vector<const Method*> methods = All();
  std::erase_if(methods, [&](const Method* method) { return !method->RunsOn(state_type); });
  return methods;
}

}  // namespace memod
