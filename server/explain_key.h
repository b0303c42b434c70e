// AdminService.ExplainKey: what makes a call's key, and why the keys of two calls differ.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "memo/v1/admin.pb.h"
#include "memod/cache/session_table.h"
#include "memod/server/call_key.h"
#include "memod/server/method_table.h"

namespace memod {

// A call that an administrator describes, and where it would go.
struct DescribedCall {
  // NOT_FOUND: no such method, no such session, or one of another class.
  static absl::StatusOr<DescribedCall> Find(const memo::v1::DescribedCall& call,
                                            const SessionTable& sessions,
                                            const MethodTable& methods);

  const memo::v1::DescribedCall* call;
  const Method* method;
  std::shared_ptr<Session> session;          // null: none is named
  std::shared_ptr<Incarnation> incarnation;  // null: it needs a session, and none is named
  std::unique_ptr<const CallKey> key;
};

// Touches nothing. Errors: those of DescribedCall::Find.
absl::Status ExplainKey(const memo::v1::ExplainKeyRequest& request, const SessionTable& sessions,
                        const MethodTable& methods, memo::v1::ExplainKeyResponse* response);

}  // namespace memod
