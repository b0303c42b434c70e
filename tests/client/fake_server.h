// A server that speaks memod's protocol and remembers nothing, on a free port: what the client does
// is seen from its other side.
#pragma once

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "memo/examples/v1/slow_adder.grpc.pb.h"
#include "memo/v1/session.grpc.pb.h"
#include "memod/tests/testing/soon.h"

namespace memod {

// Sessions "s1", "s2", ... with the handles "secret-1", "secret-2", ...
class FakeSessions final : public memo::v1::SessionService::WithCallbackMethod_OpenSession<
                               memo::v1::SessionService::Service> {
 public:
  // What OpenSession does with the next requests.
  void RefuseToOpen(grpc::Status why) {
    absl::MutexLock lock(&mutex_);
    refusal_ = std::move(why);
  }
  void NeverAnswerOpen() {
    absl::MutexLock lock(&mutex_);
    mute_ = true;
  }

  // It says that it waits for a client that was lost, for a moment, and never does.
  void PromiseToWait() {
    absl::MutexLock lock(&mutex_);
    waits_ = true;
  }

  // From the server's side.
  void End(const std::string& id, grpc::Status why) {
    absl::MutexLock lock(&mutex_);
    if (open_.contains(id)) open_.at(id)->End(std::move(why));
  }
  // As soon as the next one is open.
  void DrainNext() {
    absl::MutexLock lock(&mutex_);
    drains_next_ = true;
  }
  void Drain(const std::string& id) {
    absl::MutexLock lock(&mutex_);
    open_.at(id)->Drain();
  }

  // True once exactly `count` streams are open; false if that does not happen.
  bool AwaitOpen(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto reached = [this, count]()
                             ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return streams_ == count; };
    return mutex_.AwaitWithTimeout(absl::Condition(&reached), absl::FromChrono(kPatience));
  }

  // True once so many requests were refused.
  bool AwaitRefused(int count) {
    absl::MutexLock lock(&mutex_);
    const auto reached = [this, count]()
                             ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return refused_ >= count; };
    return mutex_.AwaitWithTimeout(absl::Condition(&reached), absl::FromChrono(kPatience));
  }

  int resumptions() {
    absl::MutexLock lock(&mutex_);
    return resumptions_;
  }
  memo::v1::OpenSessionRequest last_request() {
    absl::MutexLock lock(&mutex_);
    return last_request_;
  }
  std::set<std::string> stream_peers() {
    absl::MutexLock lock(&mutex_);
    return peers_;
  }

  grpc::ServerWriteReactor<memo::v1::OpenSessionResponse>* OpenSession(
      grpc::CallbackServerContext* context, const memo::v1::OpenSessionRequest* request) override {
    absl::MutexLock lock(&mutex_);
    last_request_ = *request;
    peers_.insert(context->peer());
    ++streams_;
    auto* stream = new Stream(this, ++last_id_);
    if (!refusal_.ok()) {
      ++refused_;
      stream->End(refusal_);
    } else if (!mute_) {
      open_[stream->id()] = stream;
      stream->Open();
      if (std::exchange(drains_next_, false)) stream->Drain();
    }
    return stream;
  }

  grpc::Status HoldSession(grpc::ServerContext*,
                           grpc::ServerReaderWriter<memo::v1::HoldSessionResponse,
                                                    memo::v1::HoldSessionRequest>*) override {
    absl::MutexLock lock(&mutex_);
    ++resumptions_;
    return {grpc::StatusCode::NOT_FOUND, "no such session"};
  }

  grpc::Status UpdateState(grpc::ServerContext* context,
                           const memo::v1::UpdateStateRequest* request,
                           memo::v1::UpdateStateResponse* response) override {
    response->mutable_receipt()->set_bytes(request->ByteSizeLong());
    return Find(*context).second;
  }
  grpc::Status ClearCache(grpc::ServerContext* context, const memo::v1::ClearCacheRequest* request,
                          memo::v1::ClearCacheResponse* response) override {
    response->mutable_receipt()->set_entries(request->method().empty() ? 2 : 1);
    return Find(*context).second;
  }
  grpc::Status Forget(grpc::ServerContext* context, const memo::v1::ForgetRequest* request,
                      memo::v1::ForgetResponse* response) override {
    response->mutable_receipt()->set_bytes(static_cast<int64_t>(request->request().size()));
    return Find(*context).second;
  }
  grpc::Status GetCacheInfo(grpc::ServerContext* context,
                            const memo::v1::GetCacheInfoRequest* request,
                            memo::v1::GetCacheInfoResponse* response) override {
    response->mutable_total()->set_hits(7);
    response->add_methods()->set_method(request->method());
    return Find(*context).second;
  }
  grpc::Status CloseSession(grpc::ServerContext* context, const memo::v1::CloseSessionRequest*,
                            memo::v1::CloseSessionResponse* response) override {
    const auto [id, status] = Find(*context);
    if (status.ok()) End(id, grpc::Status(grpc::StatusCode::ABORTED, "closed by its holder"));
    response->mutable_receipt()->set_entries(3);
    response->mutable_receipt()->set_bytes(1229);
    response->mutable_receipt()->set_compute_seconds(2.4);
    return status;
  }

 private:
  // gRPC takes one write at a time, and its end comes to the client before it comes back here: so
  // what is asked for meanwhile waits.
  class Stream final : public grpc::ServerWriteReactor<memo::v1::OpenSessionResponse> {
   public:
    Stream(FakeSessions* sessions, int number) : sessions_(sessions), number_(number) {}

    std::string id() const { return "s" + std::to_string(number_); }

    // Under the sessions' mutex.
    void Open() {
      memo::v1::OpenSessionResponse event;
      event.mutable_opened()->set_handle("secret-" + std::to_string(number_));
      event.mutable_opened()->set_session_id(id());
      if (sessions_->waits_) event.mutable_opened()->mutable_resume_window()->set_nanos(1);
      waiting_.push_back(std::move(event));
      Next();
    }
    void Drain() {
      waiting_.emplace_back().mutable_draining();
      Next();
    }
    void End(grpc::Status why) {
      if (!end_.has_value()) end_ = std::move(why);
      Next();
    }

    void OnWriteDone(bool) override {
      absl::MutexLock lock(&sessions_->mutex_);
      writing_ = false;
      Next();
    }
    void OnCancel() override {
      absl::MutexLock lock(&sessions_->mutex_);
      End(grpc::Status::CANCELLED);
    }
    void OnDone() override {
      {
        absl::MutexLock lock(&sessions_->mutex_);
        sessions_->open_.erase(id());
        --sessions_->streams_;
      }
      delete this;
    }

   private:
    void Next() {
      if (writing_ || finished_) return;
      if (!waiting_.empty()) {
        writing_ = true;
        event_ = std::move(waiting_.front());
        waiting_.pop_front();
        StartWrite(&event_);
      } else if (end_.has_value()) {
        finished_ = true;
        Finish(*end_);
      }
    }

    FakeSessions* const sessions_;
    const int number_;
    memo::v1::OpenSessionResponse event_;
    // Under the sessions' mutex.
    std::deque<memo::v1::OpenSessionResponse> waiting_;
    std::optional<grpc::Status> end_;
    bool writing_ = false;
    bool finished_ = false;
  };

  // The id of the caller's session, or the error of a call without one.
  std::pair<std::string, grpc::Status> Find(const grpc::ServerContext& context) {
    const auto [begin, end] = context.client_metadata().equal_range("memo-session");
    if (begin == end) return {"", {grpc::StatusCode::FAILED_PRECONDITION, "no memo-session"}};
    const std::string handle(begin->second.data(), begin->second.size());
    const std::string id = "s" + handle.substr(handle.find('-') + 1);
    absl::MutexLock lock(&mutex_);
    if (open_.contains(id)) return {id, grpc::Status::OK};
    return {"", {grpc::StatusCode::NOT_FOUND, "no such session"}};
  }

  absl::Mutex mutex_;
  std::map<std::string, Stream*> open_ ABSL_GUARDED_BY(mutex_);
  size_t streams_ ABSL_GUARDED_BY(mutex_) = 0;
  int last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  grpc::Status refusal_ ABSL_GUARDED_BY(mutex_);
  int refused_ ABSL_GUARDED_BY(mutex_) = 0;
  bool mute_ ABSL_GUARDED_BY(mutex_) = false;
  bool drains_next_ ABSL_GUARDED_BY(mutex_) = false;
  bool waits_ ABSL_GUARDED_BY(mutex_) = false;
  int resumptions_ ABSL_GUARDED_BY(mutex_) = 0;
  memo::v1::OpenSessionRequest last_request_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> peers_ ABSL_GUARDED_BY(mutex_);
};

// A user's own service: notes who calls. Its first call is a miss, others are hits; one that adds up
// to less than 0 fails: with -1 for want of a session, else since the server stops.
class FakeAdder final : public memo::examples::v1::SlowAdder::Service {
 public:
  struct Call {
    std::vector<std::string> handles;
    std::string peer;
    std::vector<std::string> metadata;  // "name=value", but for the handle and gRPC's own
  };
  std::vector<Call> calls() {
    absl::MutexLock lock(&mutex_);
    return calls_;
  }

  grpc::Status Calculate(grpc::ServerContext* context,
                         const memo::examples::v1::CalculateRequest* request,
                         memo::examples::v1::CalculateResponse* response) override {
    Call call{{}, context->peer(), {}};
    const auto [begin, end] = context->client_metadata().equal_range("memo-session");
    for (auto it = begin; it != end; ++it) {
      call.handles.emplace_back(it->second.data(), it->second.size());
    }
    for (const auto& [name, value] : context->client_metadata()) {
      const std::string text(name.data(), name.size());
      if (text == "memo-session" || text == "user-agent") continue;
      call.metadata.push_back(text + "=" + std::string(value.data(), value.size()));
    }
    for (const int64_t number : request->numbers()) response->set_sum(response->sum() + number);
    absl::MutexLock lock(&mutex_);
    calls_.push_back(std::move(call));
    if (response->sum() < -1) {
      context->AddTrailingMetadata("memo-error", "DRAINING");
      return {grpc::StatusCode::UNAVAILABLE, "the server is stopping"};
    }
    if (response->sum() < 0) {
      context->AddTrailingMetadata("memo-error", "SESSION_NOT_FOUND");
      return {grpc::StatusCode::NOT_FOUND, "no such session"};
    }
    context->AddInitialMetadata("memo-cache", calls_.size() == 1 ? "miss" : "hit");
    if (calls_.size() > 1) context->AddInitialMetadata("memo-age", "3");
    return grpc::Status::OK;
  }

 private:
  absl::Mutex mutex_;
  std::vector<Call> calls_ ABSL_GUARDED_BY(mutex_);
};

class FakeServer {
 public:
  explicit FakeServer(std::vector<grpc::Service*> more = {}) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&sessions);
    builder.RegisterService(&adder);
    for (grpc::Service* service : more) builder.RegisterService(service);
    server_ = builder.BuildAndStart();
  }
  ~FakeServer() { Stop(); }

  // Whoever is connected is cut off.
  void Stop() { server_->Shutdown(absl::ToChronoTime(absl::Now())); }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  FakeSessions sessions;
  FakeAdder adder;

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace memod
