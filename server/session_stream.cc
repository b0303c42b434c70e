#include "memod/server/session_stream.h"

#include "memod/server/cache_report.h"
#include "memod/server/session_service.h"
#include "memod/server/unary_call.h"

namespace memod {

void SessionStream::Open(absl::StatusOr<Origin> origin) {
  if (!origin.ok()) return End(origin.status());
  if (!Wanted()) return End(absl::CancelledError());
  auto session = service_.Open(*std::move(origin), context_.peer());
  if (!session.ok()) return End(session.status());
  Hold(*std::move(session), holder_);
}

void SessionStream::OnDone() {
  service_.Done(std::static_pointer_cast<SessionStream>(shared_from_this()));
}

void SessionStream::Tell(Word word, const Session& session) {
  memo::v1::OpenSessionResponse message;
  switch (word) {
    case Word::kHeld:
      message.mutable_opened()->set_handle(session.handle());
      message.mutable_opened()->set_session_id(session.id());
      ReportDuration(env_.resume_window, message.mutable_opened()->mutable_resume_window());
      break;
    case Word::kDraining:
      message.mutable_draining();
      break;
    case Word::kHeartbeat:
      break;  // nobody sends one here
  }
  Encode(message, message_);
  StartWrite(&message_);
}

}  // namespace memod
