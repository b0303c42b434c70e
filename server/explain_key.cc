#include "memod/server/explain_key.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memod/cache/memo_error.h"
#include "memod/server/cache_report.h"
#include "memod/server/message_key.h"

namespace memod {
namespace {

// Names that hold secrets, or sound like it. Showing a digest of too many does no harm.
bool MayBeSecret(const std::string& name) {
  static constexpr std::array kParts = {"auth",   "cookie", "token",   "secret", "password",
                                        "passwd", "key",    "session", "cred",   "sign"};
  return std::any_of(kParts.begin(), kParts.end(),
                     [&](const char* part) { return absl::StrContains(name, part); });
}

std::string Digest(std::string_view value) { return absl::StrFormat("%016x", SecretHash(value)); }

void AddPart(const std::string& name, const std::string& value, size_t bytes,
             memo::v1::KeyExplanation* out) {
  memo::v1::KeyPart* part = out->add_parts();
  part->set_name(name);
  part->set_value(value);
  part->set_bytes(static_cast<int64_t>(bytes));
}

void AddMetadata(const std::string& name, const Metadata& metadata, memo::v1::KeyExplanation* out) {
  const std::string part_name = absl::StrCat("metadata ", name);
  bool any = false;
  for (const auto& [sent, value] : metadata) {
    if (sent != name) continue;
    any = true;
    const bool secret = MayBeSecret(name);
    // In quotes, so that no value reads like another, nor like "(absent)".
    AddPart(part_name, secret ? Digest(value) : absl::StrCat("\"", absl::CHexEscape(value), "\""),
            value.size(), out);
    out->mutable_parts()->rbegin()->set_digest(secret);
  }
  if (!any) AddPart(part_name, "(absent)", 0, out);
}

std::string MemoryName(const DescribedCall& call, const SessionTable& sessions) {
  const Scope scope = call.method->memo.policy.scope;
  if (scope == Scope::kServer) return "everybody's";
  if (call.session == nullptr) return "a session's: none is named";
  const int64_t sharing = sessions.CountSharing(*call.session);
  if (sharing > 1)
    return absl::StrCat(sharing, " sessions' with equal state, ", call.session->id());
  return absl::StrCat("session ", call.session->id(), "'s");
}

std::string_view RequestPart(const Method& method) {
  return method.memo.policy.key_mode == KeyMode::kMessage ? "request (as a message)"
                                                          : "request (its bytes)";
}

void Explain(const DescribedCall& call, const SessionTable& sessions,
             memo::v1::KeyExplanation* out) {
  const Policy& policy = call.method->memo.policy;
  const std::string& request = call.call->request();
  AddPart("memory", MemoryName(call, sessions), 0, out);
  AddPart("method", call.method->memo.name, call.method->memo.name.size(), out);
  for (const std::string& name : policy.key_metadata) AddMetadata(name, call.key->metadata(), out);
  const MessageKey* message = call.method->message.get();
  AddPart(std::string(RequestPart(*call.method)),
          message == nullptr ? absl::CHexEscape(request) : message->Text(request), request.size(),
          out);
  for (const auto& entry : call.call->metadata()) {
    const std::string name = absl::AsciiStrToLower(entry.name());
    const auto listed = [&](const std::vector<std::string>& names) {
      return std::find(names.begin(), names.end(), name) != names.end();
    };
    if (listed(policy.key_metadata)) continue;
    out->add_left_out(absl::StrCat("metadata ", absl::CHexEscape(name),
                                   listed(policy.forward) ? " (reaches the method)" : ""));
  }
  if (message != nullptr && policy.key_mode == KeyMode::kMessage) {
    for (const std::string& field : message->LeftOut(request)) {
      out->add_left_out(absl::StrCat("request ", field));
    }
  }
  if (call.incarnation == nullptr) return;
  const auto age = call.incarnation->cache->Age(call.method->memo, call.key->key(), Clock::now());
  if (!age) return;
  out->set_remembered(true);
  ReportDuration(*age, out->mutable_age());
}

// The values of a part in their order.
std::string Values(const memo::v1::KeyExplanation& key, const std::string& name) {
  std::string values;
  for (const auto& part : key.parts()) {
    if (part.name() != name) continue;
    absl::StrAppend(&values, values.empty() ? "" : ", ", part.value());
  }
  return values;
}

void Compare(const DescribedCall& a, const DescribedCall& b, memo::v1::ExplainKeyResponse* out) {
  const bool same_memory = a.incarnation == b.incarnation;
  out->set_equal(same_memory && a.key->key() == b.key->key());
  if (out->equal()) return;
  const auto differ = [&](const std::string& name) {
    out->add_differences(
        absl::StrCat(name, ": ", Values(out->key(), name), " vs ", Values(out->other(), name)));
  };
  if (!same_memory) {
    differ("memory");
  }
  if (a.method != b.method) return differ("method");
  for (const std::string& name : a.method->memo.policy.key_metadata) {
    if (Select(a.key->metadata(), {name}) != Select(b.key->metadata(), {name})) {
      differ(absl::StrCat("metadata ", name));
    }
  }
  const std::string &one = a.call->request(), &other = b.call->request();
  if (a.method->message == nullptr) {
    if (one != other) differ(std::string(RequestPart(*a.method)));
    return;
  }
  for (const std::string& line : a.method->message->Differences(one, other)) {
    out->add_differences(absl::StrCat("request ", line));
  }
  if (a.method->memo.policy.key_mode == KeyMode::kBytes && one != other &&
      a.method->message->Differences(one, other).empty()) {
    out->add_differences(
        "request: different bytes that decode to equal messages; with key.mode = \"message\" they "
        "would have one key");
  }
}

}  // namespace

absl::StatusOr<DescribedCall> DescribedCall::Find(const memo::v1::DescribedCall& call,
                                                  const SessionTable& sessions,
                                                  const MethodTable& methods) {
  const auto method = methods.Get(call.method());
  if (!method.ok()) return method.status();
  DescribedCall found{&call, *method, nullptr, nullptr, nullptr};
  if (!call.session_id().empty()) {
    found.session = sessions.FindById(call.session_id());
    if (found.session != nullptr) found.incarnation = found.session->incarnation();
    if (found.incarnation == nullptr) return NoSessionOfId(call.session_id());
  }
  if ((*method)->memo.policy.scope == Scope::kServer) {
    found.incarnation = sessions.shared();
  } else if (found.incarnation != nullptr && !(*method)->RunsOn(found.incarnation->state_type)) {
    return absl::NotFoundError(
        absl::StrCat("session ", call.session_id(), " has no method ", Quoted(call.method())));
  }
  Metadata metadata;
  for (const auto& entry : call.metadata()) {
    metadata.emplace_back(absl::AsciiStrToLower(entry.name()), entry.value());
  }
  found.key = std::make_unique<CallKey>(
      **method, call.request(),
      [&](const std::vector<std::string>& names) { return Select(metadata, names); });
  return found;
}

absl::Status ExplainKey(const memo::v1::ExplainKeyRequest& request, const SessionTable& sessions,
                        const MethodTable& methods, memo::v1::ExplainKeyResponse* response) {
  const auto call = DescribedCall::Find(request.call(), sessions, methods);
  if (!call.ok()) return call.status();
  Explain(*call, sessions, response->mutable_key());
  if (!request.has_other()) return absl::OkStatus();
  const auto other = DescribedCall::Find(request.other(), sessions, methods);
  if (!other.ok()) return other.status();
  Explain(*other, sessions, response->mutable_other());
  Compare(*call, *other, response);
  return absl::OkStatus();
}

}  // namespace memod
