#include "memod/server/pipeline_stream.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "memod/cache/memo_error.h"
#include "memod/server/grpc_metadata.h"
#include "memod/server/grpc_status.h"

namespace memod {
namespace {

// As pipeline.proto says.
constexpr uint32_t kMaxNumbers = 1024;
// Calls that are looked at together.
constexpr size_t kBatch = 256;

absl::Status DoesNotDecode() {
  return BadRequest("a message of the pipeline does not decode as a memo.v1.CallRequest");
}

absl::Status Draining() {
  return MemoError(absl::StatusCode::kUnavailable, memo_error::kDraining,
                   "the server is about to stop: make the call elsewhere");
}

std::optional<std::string> HandleOf(const grpc::CallbackServerContext& context) {
  const auto handle = context.client_metadata().find("memo-session");
  if (handle == context.client_metadata().end()) return std::nullopt;
  return std::string(handle->second.data(), handle->second.size());
}

// A Control, as numbered in pipeline.proto.
bool IsControl(int32_t number) {
  return number >= 0 && number <= static_cast<int32_t>(Control::kOnlyIfCached);
}

bool IsLookup(int32_t number) {
  const auto control = static_cast<Control>(number);
  return IsControl(number) && control != Control::kBypass && control != Control::kRefresh;
}

}  // namespace

PipelineStream::PipelineStream(PipelineService& service, const PipelineService::Environment& env,
                               grpc::CallbackServerContext& context)
    : service_(service), env_(env), context_(context), handle_(HandleOf(context)) {
  env_.calls.Enter();
}

PipelineStream::~PipelineStream() { env_.calls.Leave(); }

void PipelineStream::Start() {
  if (absl::Status admitted = env_.admission.Check(); !admitted.ok()) return End(admitted);
  if (context_.client_metadata().contains("memo-control")) {
    return End(
        BadRequest("a pipeline's calls say their memo-control themselves: PipelinedCall has "
                   "a field for it"));
  }
  const absl::Status metadata =
      CheckMetadata(context_.client_metadata(), env_.admission.max_metadata_bytes());
  if (!metadata.ok()) return End(metadata);
  StartRead(&request_);
}

void PipelineStream::Drain() {
  {
    MutexLock lock(mutex_);
    draining_ = true;
  }
  Advance();
}

int64_t PipelineStream::unsent_bytes() const {
  MutexLock lock(mutex_);
  return answers_.unsent_bytes();
}

std::optional<StalledCall> PipelineStream::Stalled() {
  MutexLock lock(mutex_);
  if (!writing_.Look()) return std::nullopt;
  return StalledCall(context_);
}

void PipelineStream::OnReadDone(bool ok) {
  bool work = false;
  {
    MutexLock lock(mutex_);
    (ok ? has_message_ : half_closed_) = true;
    work = ok && !std::exchange(working_, true);
  }
  work ? Work() : Advance();
}

void PipelineStream::OnWriteDone(bool ok) {
  bool work = false;
  {
    MutexLock lock(mutex_);
    writing_.End();
    answers_.Wrote(response_);
    response_.Clear();
    if (ok) work = has_message_ && HasRoom() && !std::exchange(working_, true);
  }
  if (!ok) return OnCancel();  // the stream is broken
  Advance();
  if (work) Work();
}

void PipelineStream::OnCancel() {
  {
    MutexLock lock(mutex_);
    gone_ = true;
    if (!end_) end_ = absl::CancelledError();
  }
  LeaveAll();
  Advance();
}

void PipelineStream::OnDone() { service_.Done(shared_from_this()); }

void PipelineStream::Work() {
  while (true) {
    bool begin = false;
    {
      MutexLock lock(mutex_);
      // A message is begun in any case: what it cancels makes room.
      begin = !message_begun_;
      if (end_ || !has_message_ || (!begin && !HasRoom())) {
        working_ = false;
        break;
      }
      message_begun_ = true;
    }
    const pipeline::Next next = begin ? BeginMessage() : WorkOnSome();
    Advance();
    if (next == pipeline::Next::kMalformed) End(DoesNotDecode());
    if (next != pipeline::Next::kEnd) continue;
    {
      MutexLock lock(mutex_);
      has_message_ = message_begun_ = false;
    }
    // Still `working_`, so that nothing finishes the stream meanwhile.
    StartRead(&request_);
  }
  Advance();
}

pipeline::Next PipelineStream::BeginMessage() {
  reader_ = pipeline::RequestReader(pipeline::InOnePiece(request_, request_bytes_));
  const bool valid =
      reader_.ReadHead([&](const auto& method) { Bind(method); }, [&](uint64_t id) { Cancel(id); });
  return valid ? pipeline::Next::kOne : pipeline::Next::kMalformed;
}

void PipelineStream::Bind(const pipeline::MethodNumber& method) {
  if (method.number >= kMaxNumbers) {
    return End(BadRequest(absl::StrCat("a method is bound to ", method.number,
                                       "; numbers are 0 to ", kMaxNumbers - 1)));
  }
  if (method.number >= methods_.size()) methods_.resize(method.number + 1);
  Bound& bound = methods_[method.number] = {};
  bound.method = env_.dispatcher.methods().Find(method.name);
  if (bound.method == nullptr) {
    bound.unknown = Quoted(method.name);
    return;
  }
  const Policy& policy = bound.method->memo.policy;
  bound.key_is_request = policy.key_metadata.empty() && policy.key_mode == KeyMode::kBytes;
}

const PipelineStream::Bound* PipelineStream::BoundTo(const pipeline::Call& call) const {
  return call.method < methods_.size() ? &methods_[call.method] : nullptr;
}

// Calls

pipeline::Next PipelineStream::WorkOnSome() {
  pipeline::Next next = pipeline::Next::kOne;
  if (begun_ == calls_.size()) {
    next = ReadSome();
    AnswerHits();
  }
  for (; begun_ < calls_.size(); ++begun_) {
    {
      MutexLock lock(mutex_);
      if (end_ || !HasRoom()) return pipeline::Next::kOne;
    }
    Begin(calls_[begun_]);
  }
  return next;
}

pipeline::Next PipelineStream::ReadSome() {
  sought_.clear();
  seekers_.clear();
  calls_.clear();
  begun_ = 0;
  pipeline::Call call;
  for (size_t n = 0; n < kBatch; ++n) {
    const pipeline::Next next = reader_.Read(call);
    if (next != pipeline::Next::kOne) return next;
    const Bound* bound = BoundTo(call);
    const bool may_hit = bound != nullptr && bound->key_is_request && IsLookup(call.control) &&
                         static_cast<int64_t>(call.request.size()) <= env_.max_request_bytes;
    if (may_hit) {
      const MemoizedMethod& memo = bound->method->memo;
      sought_.push_back({.method = &memo, .key = CacheKey(memo.id, call.request)});
      seekers_.push_back(call);
    } else {
      calls_.push_back(call);
    }
  }
  return pipeline::Next::kOne;
}

void PipelineStream::AnswerHits() {
  int64_t room = 0;
  {
    MutexLock lock(mutex_);
    if (!draining_ && env_.admission.open()) room = env_.max_unsent_bytes - answers_.unsent_bytes();
  }
  size_t next = 0;  // of seekers_; those before it have been looked for
  const auto not_found_until = [&](size_t index) {
    for (; next < index; ++next) calls_.push_back(seekers_[next]);
  };
  const auto tell = [&](size_t index, const MemoCache::Found& found) {
    not_found_until(index);
    hits_.Add(seekers_[next++].id, found);
    room -= static_cast<int64_t>(found.answer.size());
    return room > 0;
  };
  if (room > 0) env_.dispatcher.FindHits(handle_, sought_, tell);
  not_found_until(seekers_.size());
  {
    MutexLock lock(mutex_);
    answers_.Add(hits_);
  }
  // What has to be computed is begun only then.
  if (!calls_.empty()) Advance();
}

void PipelineStream::Begin(const pipeline::Call& call) {
  if (const absl::Status fault = Check(call); !fault.ok()) return AnswerNow(call.id, {fault});
  const auto waiting = std::make_shared<WaitingCall>(*this, call.id);
  {
    MutexLock lock(mutex_);
    if (!waiting_.emplace(call.id, waiting).second) {
      return Append(
          call.id, {BadRequest(absl::StrCat("the id ", call.id, " is that of a call that waits"))});
    }
  }
  const auto read = [this](const std::vector<std::string>& names) {
    return Select(context_.client_metadata(), names);
  };
  Dispatcher::Request request{.method = *BoundTo(call)->method,
                              .handle = handle_,
                              .control = static_cast<Control>(call.control),
                              .bytes = call.request,
                              .metadata = read};
  Dispatcher::Answered answered = env_.dispatcher.Call(request, *waiting, waiting->place);
  if (const auto* outcome = std::get_if<Outcome>(&answered)) return Answered(*waiting, *outcome);
  bool gone = false;
  {
    MutexLock lock(mutex_);
    // Read by whoever finds the call in waiting_, where it is unless it is answered already.
    waiting->flight = std::get<std::shared_ptr<Flight>>(std::move(answered));
    gone = end_.has_value();
  }
  if (gone) Leave(*waiting);
}

absl::Status PipelineStream::Check(const pipeline::Call& call) const {
  if (absl::Status admitted = env_.admission.Check(); !admitted.ok()) return admitted;
  const Bound* bound = BoundTo(call);
  if (bound == nullptr || (bound->method == nullptr && bound->unknown.empty())) {
    return BadRequest(absl::StrCat("no method is bound to ", call.method,
                                   " on this stream: send it in `methods`"));
  }
  if (bound->method == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat("no memoized method ", bound->unknown,
                     ", and a pipeline takes no others; a name is like /package.Service/Method"));
  }
  if (!IsControl(call.control)) {
    return BadRequest(absl::StrCat("control ", call.control, " is none of memo.v1.Control"));
  }
  if (const auto size = static_cast<int64_t>(call.request.size()); size > env_.max_request_bytes) {
    return MemoError(absl::StatusCode::kResourceExhausted, memo_error::kLimit,
                     absl::StrCat("the request is ", size, " bytes, limit ", env_.max_request_bytes,
                                  " (server.max_request_bytes)"));
  }
  MutexLock lock(mutex_);
  return draining_ ? Draining() : absl::OkStatus();
}

// Calls that wait

void PipelineStream::Answered(WaitingCall& call, const Outcome& outcome) {
  // The stream waits for this call, and for nothing of this thread's once the call is out of
  // `waiting_`: others may end it, and gRPC let go of it, before Advance.
  const std::shared_ptr<PipelineStream> self = shared_from_this();
  std::shared_ptr<WaitingCall> held;  // until the lock is let go
  call.place = {};
  {
    MutexLock lock(mutex_);
    const auto it = waiting_.find(call.id);
    held = std::move(it->second);
    waiting_.erase(it);
    Append(call.id, outcome);
  }
  Advance();
}

bool PipelineStream::Leave(WaitingCall& call) {
  std::shared_ptr<Flight> flight;
  {
    MutexLock lock(mutex_);
    flight = call.flight;
  }
  if (flight == nullptr || !flight->Leave(&call)) return false;  // whoever answers it takes it out
  call.place = {};
  MutexLock lock(mutex_);
  waiting_.erase(call.id);
  return true;
}

void PipelineStream::Cancel(uint64_t id) {
  std::shared_ptr<WaitingCall> call;
  {
    MutexLock lock(mutex_);
    const auto it = waiting_.find(id);
    if (it == waiting_.end()) return;
    call = it->second;
  }
  if (Leave(*call)) AnswerNow(id, {absl::CancelledError("the client cancelled the call")});
}

void PipelineStream::LeaveAll() {
  std::vector<std::shared_ptr<WaitingCall>> calls;
  {
    MutexLock lock(mutex_);
    for (const auto& [id, call] : waiting_) calls.push_back(call);
  }
  for (const auto& call : calls) Leave(*call);
}

// Answers

void PipelineStream::AnswerNow(uint64_t id, const Outcome& outcome) {
  MutexLock lock(mutex_);
  Append(id, outcome);
}

void PipelineStream::Append(uint64_t id, const Outcome& outcome) {
  if (!gone_) answers_.Add(id, outcome);
}

// The stream

bool PipelineStream::HasRoom() const {
  return static_cast<int64_t>(waiting_.size()) < env_.max_calls &&
         answers_.unsent_bytes() < env_.max_unsent_bytes;
}

void PipelineStream::End(const absl::Status& status) {
  {
    MutexLock lock(mutex_);
    if (!end_) end_ = status;
  }
  LeaveAll();
  Advance();
}

void PipelineStream::Advance() {
  std::optional<absl::Status> finish;
  {
    MutexLock lock(mutex_);
    if (writing_.under_way() || finished_) return;
    if (!gone_ && answers_.TakeMessage(response_)) {
      writing_.Begin(response_.Length());
    } else if (working_ || !waiting_.empty()) {
      return;
    } else if (end_) {
      finish = *end_;
    } else if (has_message_) {
      return;
    } else if (half_closed_) {
      finish = absl::OkStatus();
    } else if (draining_) {
      finish = Draining();
    } else {
      return;
    }
    finished_ = finish.has_value();
  }
  // Whoever set writing_ or finished_ is alone here.
  if (finish) {
    Finish(ToGrpcStatus(*finish, context_));
  } else {
    StartWrite(&response_);
  }
}

}  // namespace memod
