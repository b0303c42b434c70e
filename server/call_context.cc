#include "memod/server/call_context.h"

#include "memod/server/dispatcher.h"

namespace memod {

absl::StatusOr<Answer::Ref> CallContext::CallRaw(const void* tag, const std::string& request) {
  const Method* method = dispatcher_.methods().FindTag(tag);
  if (method == nullptr) {
    return absl::NotFoundError("the nested call's method is not registered with this server");
  }
  return dispatcher_.CallNested(flight_, *method, request);
}

}  // namespace memod
