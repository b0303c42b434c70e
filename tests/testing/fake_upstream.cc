#include "memod/tests/testing/fake_upstream.h"

#include <grpc/grpc.h>
#include <grpcpp/server_builder.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "memod/tests/testing/call.h"
#include "memod/tests/testing/soon.h"

namespace memod {
namespace {

// What an operation on a call's queue, and the call's end, are told apart by.
int operation_tag, done_tag;

// What memod asks on its own account, whenever it has connected.
bool AsksForReflection(const UpstreamCall& call) {
  return call.method().starts_with("/grpc.reflection.");
}

}  // namespace

UpstreamCall::~UpstreamCall() {
  queue_.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
  }
}

Entries UpstreamCall::metadata() const { return ToMetadata(context_.client_metadata()); }

bool UpstreamCall::AwaitOperation() {
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
    if (tag == &operation_tag) return ok;
    done_ = true;
  }
  return false;
}

std::optional<std::string> UpstreamCall::Read() {
  grpc::ByteBuffer buffer;
  stream_.Read(&buffer, &operation_tag);
  if (!AwaitOperation()) return std::nullopt;
  return ToString(buffer);
}

bool UpstreamCall::half_closed() {
  return !cancelled() && !grpc_call_failed_before_recv_message(context_.c_call());
}

bool UpstreamCall::Write(std::string_view message) {
  stream_.Write(ToByteBuffer(message), &operation_tag);
  return AwaitOperation();
}

void UpstreamCall::SendMetadata(const Entries& metadata) {
  for (const auto& [name, value] : metadata) context_.AddInitialMetadata(name, value);
  stream_.SendInitialMetadata(&operation_tag);
  AwaitOperation();
}

void UpstreamCall::Finish(const grpc::Status& status, const Entries& trailers) {
  for (const auto& [name, value] : trailers) context_.AddTrailingMetadata(name, value);
  finished_ = true;
  stream_.Finish(status, &operation_tag);
  AwaitOperation();
}

void UpstreamCall::Answer(std::string_view message) {
  Write(message);
  Finish(grpc::Status::OK);
}

bool UpstreamCall::AwaitCancelled() {
  void* tag = nullptr;
  bool ok = false;
  const auto deadline = std::chrono::system_clock::now() + kPatience;
  while (!done_ && queue_.AsyncNext(&tag, &ok, deadline) == grpc::CompletionQueue::GOT_EVENT) {
    done_ = tag == &done_tag;
  }
  return cancelled();
}

FakeUpstream::FakeUpstream() {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
  builder.SetMaxReceiveMessageSize(-1);
  builder.SetMaxSendMessageSize(-1);
  builder.RegisterAsyncGenericService(&service_);
  queue_ = builder.AddCompletionQueue();
  server_ = builder.BuildAndStart();
  acceptor_ = std::thread([this] { Accept(); });
  wire.emplace(port_);
}

FakeUpstream::~FakeUpstream() {
  server_->Shutdown(std::chrono::system_clock::now());
  queue_->Shutdown();
  acceptor_.join();
  for (std::thread& thread : threads_) thread.join();
}

std::string FakeUpstream::target() const { return absl::StrCat("127.0.0.1:", wire->port()); }
std::string FakeUpstream::direct_target() const { return absl::StrCat("127.0.0.1:", port_); }

void FakeUpstream::On(const std::string& method, Script script) {
  const std::lock_guard lock(mutex_);
  scripts_[method] = std::move(script);
}

std::vector<FakeUpstream::Seen> FakeUpstream::seen(const std::string& method) const {
  const std::lock_guard lock(mutex_);
  std::vector<Seen> seen;
  for (const Seen& each : seen_) {
    if (method.empty() || each.method == method) seen.push_back(each);
  }
  return seen;
}

int FakeUpstream::in_progress() const {
  const std::lock_guard lock(mutex_);
  return in_progress_;
}

void FakeUpstream::Accept() {
  while (true) {
    std::unique_ptr<UpstreamCall> call(new UpstreamCall);
    call->context_.AsyncNotifyWhenDone(&done_tag);
    service_.RequestCall(&call->context_, &call->stream_, &call->queue_, queue_.get(), call.get());
    void* tag = nullptr;
    bool ok = false;
    if (!queue_->Next(&tag, &ok) || !ok) return;
    const std::lock_guard lock(mutex_);
    const bool counts = !AsksForReflection(*call);
    if (counts) ++in_progress_;
    threads_.emplace_back([this, counts, call = std::move(call)]() mutable {
      Run(*call);
      call.reset();
      const std::lock_guard lock(mutex_);
      if (counts) --in_progress_;
    });
  }
}

void FakeUpstream::Run(UpstreamCall& call) {
  call.remaining_ = call.context_.deadline() - std::chrono::system_clock::now();
  Script script = Echo;
  {
    const std::lock_guard lock(mutex_);
    if (AsksForReflection(call)) {
      script = [](UpstreamCall& asked) { asked.Finish({grpc::StatusCode::UNIMPLEMENTED, ""}); };
    } else {
      seen_.push_back({call.method(), call.metadata(), call.remaining_});
    }
    if (const auto it = scripts_.find(call.method()); it != scripts_.end()) script = it->second;
  }
  script(call);
  if (!call.finished_) call.Finish(grpc::Status(grpc::StatusCode::UNKNOWN, "not finished"));
}

void Echo(UpstreamCall& call) {
  while (const auto message = call.Read()) call.Write(*message);
  call.Finish(grpc::Status::OK);
}

void Join(UpstreamCall& call) {
  std::string all;
  while (const auto message = call.Read()) all += *message;
  call.Answer(all);
}

void NeverAnswer(UpstreamCall& call) { call.AwaitCancelled(); }

FakeUpstream::Script EndWith(const grpc::Status& status, const Entries& trailers,
                             const std::vector<std::string>& before) {
  return [=](UpstreamCall& call) {
    while (call.Read()) {
    }
    for (const std::string& message : before) call.Write(message);
    call.Finish(status, trailers);
  };
}

}  // namespace memod
