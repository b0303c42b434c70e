// Very many clients of a memod, in one process:
//
//   crowd ADDRESS
//
// Does what the lines of its stdin say, one after the other, and answers each with a line of JSON on
// its stdout; it ends with its stdin, or on an error of a call, which it tells on stderr.
//
//   connect N         opens N sessions, each held by a stream on a connection of its own
//   lease N TTL       leases N sessions without a state, for TTL seconds
//   lease-adders N TTL    the same, each with a SlowAdder
//   call              calls each leased session once
//   renew             renews all leases, many in a call
//   outlive           calls the last leased session, which has an answer, until it is gone; says how
//                     many seconds after its last renewal that was
//   lives N           opens a session, makes ten calls, and closes it, N times, by eight threads
//   hits              starts to make one hit after the other on a session of its own; `p99` says how
//                     long they took, and stops that
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "memo/examples/v1/slow_adder.grpc.pb.h"
#include "memo/v1/session.grpc.pb.h"

namespace {

using memo::examples::v1::CalculateRequest;
using memo::examples::v1::CalculateResponse;
using memo::examples::v1::SlowAdder;
using memo::examples::v1::SlowAdderState;
using memo::v1::SessionService;
using Clock = std::chrono::steady_clock;

constexpr int kInFlight = 256;
constexpr int kRenewedAtOnce = 5'000;
constexpr int kThreads = 8;
constexpr int kCallsOfALife = 10;

void Check(const grpc::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "crowd: %d %s\n", status.error_code(), status.error_message().c_str());
  std::_Exit(1);
}

// A connection that no other channel shares.
std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

// Counts what is under way, and lets no more be than `most`.
class Window {
 public:
  explicit Window(int most) : most_(most) {}
  void Enter() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return inside_ < most_; });
    ++inside_;
  }
  void Leave() {
    const std::lock_guard lock(mutex_);
    --inside_;
    changed_.notify_all();
  }
  ~Window() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return inside_ == 0; });
  }

 private:
  const int most_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int inside_ = 0;
};

// A session that a stream holds until the process ends.
class Held final : public grpc::ClientReadReactor<memo::v1::OpenSessionResponse> {
 public:
  Held(const std::string& address, Window& window)
      : sessions_(SessionService::NewStub(Connect(address))), window_(&window) {
    sessions_->async()->OpenSession(&context_, &request_, this);
    StartRead(&response_);
    StartCall();
  }
  void OnReadDone(bool ok) override {
    if (ok && response_.has_opened()) window_->Leave();
  }
  void OnDone(const grpc::Status& status) override {
    Check(status);
    Check({grpc::StatusCode::ABORTED, "a session was closed"});
  }

 private:
  const std::unique_ptr<SessionService::Stub> sessions_;
  Window* const window_;
  grpc::ClientContext context_;
  memo::v1::OpenSessionRequest request_;
  memo::v1::OpenSessionResponse response_;
};

template <typename Request, typename Response>
struct Call {
  grpc::ClientContext context;
  Request request;
  Response response;
};

class Crowd {
 public:
  explicit Crowd(const std::string& address)
      : address_(address),
        channel_(Connect(address)),
        sessions_(SessionService::NewStub(channel_)),
        adders_(SlowAdder::NewStub(channel_)) {}

  void Connections(int count) {
    Window window(kInFlight);
    for (int i = 0; i < count; ++i) {
      window.Enter();
      new Held(address_, window);  // until the process ends
    }
  }

  void Lease(int count, int ttl, bool adders) {
    handles_.resize(static_cast<size_t>(count));
    Window window(kInFlight);
    for (std::string& handle : handles_) {
      window.Enter();
      auto* call = new Call<memo::v1::LeaseSessionRequest, memo::v1::LeaseSessionResponse>();
      if (adders) call->request.mutable_state()->PackFrom(SlowAdderState());
      call->request.mutable_ttl()->set_seconds(ttl);
      sessions_->async()->LeaseSession(&call->context, &call->request, &call->response,
                                       [call, &handle, &window](const grpc::Status& status) {
                                         Check(status);
                                         handle = call->response.handle();
                                         delete call;
                                         window.Leave();
                                       });
    }
  }

  void CallEach() {
    Window window(kInFlight);
    for (const std::string& handle : handles_) {
      window.Enter();
      auto* call = new Call<CalculateRequest, CalculateResponse>();
      call->context.AddMetadata("memo-session", handle);
      call->request.add_numbers(1);
      adders_->async()->Calculate(&call->context, &call->request, &call->response,
                                  [call, &window](const grpc::Status& status) {
                                    Check(status);
                                    delete call;
                                    window.Leave();
                                  });
    }
  }

  // Returns how many were lost.
  int64_t Renew() {
    std::atomic<int64_t> lost = 0;
    Window window(2);
    for (size_t i = 0; i < handles_.size();) {
      window.Enter();
      auto* call = new Call<memo::v1::RenewSessionRequest, memo::v1::RenewSessionResponse>();
      for (int n = 0; n < kRenewedAtOnce && i < handles_.size(); ++n) {
        call->request.add_handles(handles_[i++]);
      }
      const bool last = i == handles_.size();
      sessions_->async()->RenewSession(
          &call->context, &call->request, &call->response,
          [this, call, last, &window, &lost](const grpc::Status& status) {
            Check(status);
            if (last) renewed_ = Clock::now();
            lost += call->response.lost_size();
            delete call;
            window.Leave();
          });
    }
    return lost;
  }

  double Outlive() {
    while (true) {
      Call<CalculateRequest, CalculateResponse> call;
      call.context.AddMetadata("memo-session", handles_.back());
      call.request.add_numbers(1);
      const grpc::Status status = adders_->Calculate(&call.context, call.request, &call.response);
      const std::chrono::duration<double> after = Clock::now() - renewed_;
      if (status.error_code() == grpc::StatusCode::NOT_FOUND) return after.count();
      Check(status);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  void Lives(int count) {
    std::atomic<int> left = count;
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([this, &left] {
        while (left-- > 0) Live();
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  void StartHits() {
    hits_ = std::thread([this] {
      Opened session(*sessions_);
      Add(session.handle, 1);
      while (!stop_hits_) {
        const auto begin = Clock::now();
        Add(session.handle, 1);
        micros_.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
      }
    });
  }
  std::string StopHits() {
    stop_hits_ = true;
    hits_.join();
    stop_hits_ = false;
    std::sort(micros_.begin(), micros_.end());
    const size_t count = micros_.size();
    std::ostringstream json;
    json << "\"hits\": " << count << ", \"p50_us\": " << micros_[count / 2]
         << ", \"p99_us\": " << micros_[count * 99 / 100] << ", \"max_us\": " << micros_.back();
    micros_.clear();
    return json.str();
  }

 private:
  // A session with a SlowAdder, held by a stream.
  struct Opened {
    explicit Opened(SessionService::Stub& sessions) {
      memo::v1::OpenSessionRequest request;
      request.mutable_state()->PackFrom(SlowAdderState());
      stream = sessions.OpenSession(&context, request);
      memo::v1::OpenSessionResponse response;
      if (!stream->Read(&response)) Check(stream->Finish());
      handle = response.opened().handle();
    }
    ~Opened() {
      context.TryCancel();
      stream->Finish();
    }
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<memo::v1::OpenSessionResponse>> stream;
    std::string handle;
  };

  void Add(const std::string& handle, int number) {
    grpc::ClientContext context;
    context.AddMetadata("memo-session", handle);
    CalculateRequest request;
    request.add_numbers(number);
    CalculateResponse response;
    Check(adders_->Calculate(&context, request, &response));
    if (response.sum() != number) Check({grpc::StatusCode::DATA_LOSS, "a wrong answer"});
  }

  // Half of its calls are hits. It ends by its stream.
  void Live() {
    const Opened session(*sessions_);
    for (int i = 0; i < kCallsOfALife; ++i) Add(session.handle, i / 2);
  }

  const std::string address_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<SessionService::Stub> sessions_;
  const std::unique_ptr<SlowAdder::Stub> adders_;
  std::vector<std::string> handles_;
  Clock::time_point renewed_;  // the last of them
  std::atomic<bool> stop_hits_{false};
  std::vector<double> micros_;
  std::thread hits_;
};

// What is to be told beside the seconds.
std::string Do(Crowd& crowd, const std::string& line) {
  std::istringstream words(line);
  std::string what;
  int count = 0, ttl = 0;
  words >> what >> count >> ttl;
  if (what == "connect") {
    crowd.Connections(count);
  } else if (what == "lease" || what == "lease-adders") {
    crowd.Lease(count, ttl, what == "lease-adders");
  } else if (what == "call") {
    crowd.CallEach();
  } else if (what == "renew") {
    return "\"lost\": " + std::to_string(crowd.Renew());
  } else if (what == "outlive") {
    return "\"after\": " + std::to_string(crowd.Outlive());
  } else if (what == "lives") {
    crowd.Lives(count);
  } else if (what == "hits") {
    crowd.StartHits();
  } else if (what == "p99") {
    return crowd.StopHits();
  } else {
    Check({grpc::StatusCode::INVALID_ARGUMENT, "no such command: " + line});
  }
  return "\"lost\": 0";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) Check({grpc::StatusCode::INVALID_ARGUMENT, "usage: crowd ADDRESS"});
  Crowd crowd(argv[1]);
  for (std::string line; std::getline(std::cin, line);) {
    const auto begin = Clock::now();
    const std::string told = Do(crowd, line);
    const std::chrono::duration<double> took = Clock::now() - begin;
    std::cout << "{\"seconds\": " << took.count() << ", " << told << "}" << std::endl;
  }
}
