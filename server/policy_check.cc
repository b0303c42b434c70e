#include "memod/server/policy_check.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "memod/server/config_values.h"

namespace memod {
namespace {

// The same as another says, if it means the same.
std::string Text(std::optional<int64_t> entries) {
  return entries ? absl::StrCat(std::max<int64_t>(*entries, 0)) : "unbounded";
}

class Checker {
 public:
  void Check(const FinalPolicy& checked);
  std::vector<std::string> TakeErrors() { return std::move(errors_); }

 private:
  void CheckCache();
  void CheckNames(const std::string& key, const std::vector<std::string>& names,
                  std::string (*fault)(std::string_view));
  void CheckSame(const std::string& key, const FinalPolicy& other, const std::string& mine,
                 const std::string& theirs);
  void CheckKey();
  void CheckNegative();
  template <class... Parts>
  void Error(const Parts&... parts) {
    errors_.push_back(absl::StrCat(checked_->where, ": ", checked_->method, ": ", parts...));
  }

  const FinalPolicy* checked_ = nullptr;
  // By what has one cache: whose (server scope is everybody's), and its name.
  std::map<std::pair<std::string, std::string>, const FinalPolicy*> caches_;
  std::vector<std::string> errors_;
};

void Checker::Check(const FinalPolicy& checked) {
  checked_ = &checked;
  CheckCache();
  CheckNames("key.metadata", checked.policy.key_metadata, MetadataNameFault);
  CheckNames("key.ignore", checked.policy.key_ignore, FieldPathFault);
  CheckNames("forward", checked.policy.forward, MetadataNameFault);
  CheckNames("answer.metadata", checked.policy.answer_metadata, MetadataNameFault);
  CheckKey();
  CheckNegative();
  if (checked.policy.stale_if_error && !checked.policy.ttl) {
    Error(
        "stale_if_error: got a duration with ttl = \"none\"; want a ttl: nothing expires without");
  }
}

void Checker::CheckCache() {
  const Policy& policy = checked_->policy;
  if (!policy.cache.empty() && !IsCacheName(policy.cache)) {
    Error("cache: got ", Shown(policy.cache), "; want a name of printable ASCII characters");
  }
  const std::string& name = policy.cache.empty() ? checked_->method : policy.cache;
  const auto [first, is_first] = caches_.try_emplace({checked_->state_type, name}, checked_);
  if (is_first) return;
  const FinalPolicy& other = *first->second;
  CheckSame("scope", other, ScopeName(policy.scope), ScopeName(other.policy.scope));
  CheckSame("max_entries", other, Text(policy.max_entries), Text(other.policy.max_entries));
  CheckSame("max_entries_total", other, Text(policy.max_entries_total),
            Text(other.policy.max_entries_total));
}

void Checker::CheckSame(const std::string& key, const FinalPolicy& other, const std::string& mine,
                        const std::string& theirs) {
  if (mine == theirs) return;
  const std::string& name =
      checked_->policy.cache.empty() ? checked_->method : checked_->policy.cache;
  Error(key, ": got ", mine, " where ", other.method, " (", other.where, "), with the same cache ",
        Shown(name), ", has ", theirs, "; want them equal");
}

void Checker::CheckNames(const std::string& key, const std::vector<std::string>& names,
                         std::string (*fault)(std::string_view)) {
  std::set<std::string> seen;
  for (const std::string& name : names) {
    const std::string wrong = seen.insert(name).second ? fault(name) : "want each once";
    if (!wrong.empty()) Error(key, ": got ", Shown(name), "; ", wrong);
  }
}

void Checker::CheckKey() {
  const Policy& policy = checked_->policy;
  if (!policy.key_ignore.empty() && policy.key_mode == KeyMode::kBytes) {
    Error("key.ignore: got ", Shown(policy.key_ignore.front()),
          " with key.mode = \"bytes\"; want key.mode = \"message\"");
  }
  for (const std::string& name : policy.forward) {
    if (!absl::c_linear_search(policy.key_metadata, name)) continue;
    Error("forward: got ", Shown(name), ", which key.metadata has too; want it in one of them");
  }
}

void Checker::CheckNegative() {
  for (const auto& [code, ttl] : checked_->policy.negative) {
    const std::string key = "negative." + absl::StatusCodeToString(code);
    const std::string fault = NegativeFault(code);
    if (!fault.empty()) {
      Error(key, ": ", fault);
    } else if (ttl && *ttl <= Duration::zero()) {
      Error(key, ": got ", std::chrono::nanoseconds(*ttl).count(),
            "ns; want a duration above 0, or none");
    }
  }
}

}  // namespace

absl::Status CheckPolicies(const std::vector<FinalPolicy>& policies) {
  Checker checker;
  for (const FinalPolicy& each : policies) checker.Check(each);
  const std::vector<std::string> errors = checker.TakeErrors();
  if (errors.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrJoin(errors, "\n"));
}

std::string NegativeFault(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return "want an error: OK answers are remembered anyway";
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded:
      return "want an error that the request leads to each time: this one tells of the caller";
    case absl::StatusCode::kUnavailable:
      return "want an error that the request leads to each time: this one tells of the moment";
    default:
      return "";
  }
}

}  // namespace memod
