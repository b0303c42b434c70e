// A gRPC service of any methods in this process, behind a Wire, that does what the test says.
//
//   FakeUpstream upstream;
//   upstream.On("/pkg.Service/Method", [](UpstreamCall& call) {
//     while (auto message = call.Read()) call.Write(*message);
//     call.Finish(grpc::Status::OK, {{"x-cost", "3"}});
//   });
//   ... a memod that has upstream.target() as its upstream is called ...
//
// Faults: those of the connection are switches of `wire`; those of a call are the scripts below.
#pragma once

#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server.h>

#include <chrono>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "memod/tests/testing/wire.h"

namespace memod {

using Entries = std::multimap<std::string, std::string>;

// One call, as its script sees it. Its own thread's.
class UpstreamCall {
 public:
  ~UpstreamCall();

  const std::string& method() const { return context_.method(); }
  Entries metadata() const;
  // Of its deadline, when it came in.
  std::chrono::nanoseconds remaining() const { return remaining_; }
  bool cancelled() const { return done_ && context_.IsCancelled(); }

  // nullopt: the caller has said its last word, or is gone; which, `half_closed` tells.
  std::optional<std::string> Read();
  bool half_closed();
  // False: the call is over.
  bool Write(std::string_view message);
  void SendMetadata(const Entries& metadata);
  void Finish(const grpc::Status& status, const Entries& trailers = {});
  // One message and OK.
  void Answer(std::string_view message);
  // Returns once the call is cancelled. False: patience is over.
  bool AwaitCancelled();

 private:
  friend class FakeUpstream;
  UpstreamCall() : stream_(&context_) {}
  bool AwaitOperation();

  grpc::GenericServerContext context_;
  grpc::CompletionQueue queue_;
  grpc::GenericServerAsyncReaderWriter stream_;
  std::chrono::nanoseconds remaining_{};
  bool done_ = false;
  bool finished_ = false;
};

// Thread-safe.
class FakeUpstream {
 public:
  // Runs on a thread of its own; a call that it does not finish ends as UNKNOWN.
  using Script = std::function<void(UpstreamCall&)>;

  FakeUpstream();
  ~FakeUpstream();

  std::string target() const;
  // Past the wire.
  std::string direct_target() const;

  // What becomes of the method's calls, instead of Echo.
  void On(const std::string& method, Script script);

  struct Seen {
    std::string method;
    Entries metadata;
    std::chrono::nanoseconds remaining;
  };
  // Calls that have come in, in their order: all, or those of a method. Not those by which memod
  // asks for reflection, which there is none of.
  std::vector<Seen> seen(const std::string& method = "") const;
  int calls(const std::string& method = "") const { return static_cast<int>(seen(method).size()); }
  // Calls whose scripts run, counted as by `seen`.
  int in_progress() const;

 private:
  void Accept();
  void Run(UpstreamCall& call);

  grpc::AsyncGenericService service_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  std::thread acceptor_;

  mutable std::mutex mutex_;  // guards what follows
  std::map<std::string, Script> scripts_;
  std::vector<Seen> seen_;
  std::list<std::thread> threads_;
  int in_progress_ = 0;

 public:
  std::optional<Wire> wire;  // always there; made when the port is known
};

// Every message comes back, then OK.
void Echo(UpstreamCall& call);
// All messages come back as one.
void Join(UpstreamCall& call);
// Says nothing until it is cancelled.
void NeverAnswer(UpstreamCall& call);
// Reads all; says `before`, and ends.
FakeUpstream::Script EndWith(const grpc::Status& status, const Entries& trailers = {},
                             const std::vector<std::string>& before = {});

}  // namespace memod
