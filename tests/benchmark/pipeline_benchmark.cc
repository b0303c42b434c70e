// Rows 4 and 5: hits over a pipeline beside Redis, and beside a bare bidirectional stream of gRPC.
//
// 10,000 keys that are all remembered, asked for at random; 16 B keys, 64 B answers. What the bare
// stream answers is made beforehand and as large as memod's.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/rpc_service_method.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "echo.grpc.pb.h"
#include "echo_server.h"
#include "memo/pipeline_codec.h"
#include "memod/client/client.h"
#include "memod/server/server.h"
#include "redis_side.h"
#include "runner.h"
#include "server_process.h"

namespace memod::benchmark {
namespace {

using grpc::ByteBuffer;
using Steady = std::chrono::steady_clock;

constexpr uint64_t kKeys = 10'000;
constexpr int kAnswerBytes = 64;
constexpr int kMessages = 512;  // that are sent over and over
constexpr int kCallsAtOnce = 4096;
constexpr const char* kGet = "/memod.benchmark.Echo/Get";
constexpr const char* kPipeline = "/memo.v1.PipelineService/Call";

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::exit(1);
}

// ---- The other server. memod's is echo_server's.

constexpr const char* kServeStream = "--serve-stream";

// Answers each message with one of as many bytes as the metadata `answer-bytes` says. It reads the
// next one meanwhile, and goes on reading whether or not the answer was taken: nothing is bounded.
class BareStream final : public grpc::ServerBidiReactor<ByteBuffer, ByteBuffer> {
 public:
  explicit BareStream(const grpc::CallbackServerContext& context) {
    const auto bytes = context.client_metadata().find("answer-bytes");
    const grpc::Slice slice(std::string(std::stoul(bytes->second.data()), 'v'));
    answer_ = ByteBuffer(&slice, 1);
    StartRead(&request_);
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    grpc::Slice slice;  // looked at as memod has to
    if (!request_.TrySingleSlice(&slice).ok()) request_.DumpToSingleSlice(&slice).ok();
    bool write = false;
    {
      const std::lock_guard lock(mutex_);
      ++due_;
      write = !std::exchange(writing_, true);
    }
    if (write) StartWrite(&answer_);
    StartRead(&request_);
  }
  void OnWriteDone(bool ok) override {
    bool write = false;
    {
      const std::lock_guard lock(mutex_);
      write = writing_ = --due_ > 0 && ok;
    }
    if (write) StartWrite(&answer_);
  }
  void OnDone() override { delete this; }

  ByteBuffer request_, answer_;
  std::mutex mutex_;
  int due_ = 0;
  bool writing_ = false;
};

class BareService final : public grpc::Service {
 public:
  BareService() {
    AddMethod(new grpc::internal::RpcServiceMethod(
        kPipeline, grpc::internal::RpcMethod::BIDI_STREAMING, nullptr));
    MarkMethodRawCallback(
        0, new grpc::internal::CallbackBidiHandler<ByteBuffer, ByteBuffer>(
               [](grpc::CallbackServerContext* context) { return new BareStream(*context); }));
  }
};

void ServeStream() {
  BareService service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  ServeUntilStopped(port);
  server->Shutdown(std::chrono::system_clock::now());
}

// ---- The client.

// Sends messages over one stream, as long as it is told to and no more calls are unanswered than
// may be at once.
class Load final : public grpc::ClientBidiReactor<ByteBuffer, ByteBuffer> {
 public:
  // How many calls a message answers.
  using Count = std::function<int(const ByteBuffer&)>;

  Load(const std::shared_ptr<grpc::Channel>& channel, const Metadata& metadata,
       std::vector<ByteBuffer> messages, int calls_per_message, Count count)
      : stub_(channel),
        messages_(std::move(messages)),
        calls_per_message_(calls_per_message),
        count_(std::move(count)) {
    for (const auto& [name, value] : metadata) context_.AddMetadata(name, value);
    stub_.PrepareBidiStreamingCall(&context_, kPipeline, {}, this);
    AddHold();  // for the writes that are not made in a reaction
    StartRead(&response_);
    StartCall();
  }
  ~Load() {
    context_.TryCancel();
    RemoveHold();
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done_; });
  }

  void Begin() {
    {
      const std::lock_guard lock(mutex_);
      running_ = true;
    }
    WriteNext();
  }
  // Returns when all is answered.
  void End() {
    std::unique_lock lock(mutex_);
    running_ = false;
    changed_.wait(lock, [&] { return unanswered_ == 0; });
  }
  uint64_t answered() const { return answered_.load(std::memory_order_relaxed); }

 private:
  void WriteNext() {
    {
      const std::lock_guard lock(mutex_);
      if (!running_ || writing_ || unanswered_ + calls_per_message_ > kCallsAtOnce) return;
      writing_ = true;
      unanswered_ += calls_per_message_;
    }
    StartWrite(&messages_[next_++ % messages_.size()]);
  }
  void OnWriteDone(bool ok) override {
    if (!ok) Fail("a message is not taken");
    {
      const std::lock_guard lock(mutex_);
      writing_ = false;
    }
    WriteNext();
  }
  void OnReadDone(bool ok) override {
    if (!ok) return;
    const int answered = count_(response_);
    answered_.fetch_add(static_cast<uint64_t>(answered), std::memory_order_relaxed);
    {
      const std::lock_guard lock(mutex_);
      unanswered_ -= answered;
      if (unanswered_ == 0) changed_.notify_all();
    }
    WriteNext();
    StartRead(&response_);
  }
  void OnDone(const grpc::Status& status) override {
    if (status.error_code() != grpc::StatusCode::CANCELLED) Fail(status.error_message());
    const std::lock_guard lock(mutex_);
    done_ = true;
    changed_.notify_all();
  }

  grpc::ClientContext context_;
  grpc::GenericStub stub_;
  const std::vector<ByteBuffer> messages_;
  const int calls_per_message_;
  const Count count_;
  size_t next_ = 0;  // of messages_; only by who has set writing_
  ByteBuffer response_;
  std::atomic<uint64_t> answered_{0};

  std::mutex mutex_;
  std::condition_variable changed_;
  bool running_ = false, writing_ = false, done_ = false;
  int unanswered_ = 0;
};

Rate Measure(Load& load, const ServerProcess& server, double seconds) {
  load.Begin();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));  // until it is under way
  const uint64_t answered = load.answered();
  const double cpu = CpuSeconds(server.pid());
  const auto begin = Steady::now();
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  const auto calls = static_cast<double>(load.answered() - answered);
  const double took = std::chrono::duration<double>(Steady::now() - begin).count();
  const double used = CpuSeconds(server.pid()) - cpu;
  load.End();
  return {calls / took, calls / used};
}

std::string RequestBytes(uint64_t key) {
  EchoRequest request;
  request.set_key(Key(key));
  return request.SerializeAsString();
}

std::vector<ByteBuffer> CallMessages(int calls_per_message) {
  std::mt19937 random(1);
  std::uniform_int_distribution<uint64_t> keys(0, kKeys - 1);
  pipeline::MessageWriter writer;
  std::vector<ByteBuffer> messages;
  uint64_t id = 0;
  for (int i = 0; i < kMessages; ++i) {
    if (i == 0) writer.Add(pipeline::MethodNumber{.number = 1, .name = kGet});
    for (int j = 0; j < calls_per_message; ++j) {
      const std::string request = RequestBytes(keys(random));
      writer.Add(pipeline::Call{.id = ++id % 16384, .method = 1, .request = request});
    }
    messages.push_back(writer.Take());
  }
  return messages;
}

// Every answer is read, and has to be what it should.
int CountAnswers(const ByteBuffer& message) {
  grpc::Slice slice;
  pipeline::ResponseReader reader(pipeline::InOnePiece(message, slice));
  int answers = 0;
  for (pipeline::Answer answer; reader.Read(answer) == pipeline::Next::kOne; ++answers) {
    if (answer.failed) Fail(std::string(answer.error.message));
    if (answer.response.size() != kAnswerBytes) Fail("an answer of another size");
  }
  return answers;
}

class MemodSide {
 public:
  explicit MemodSide(const Options& options)
      : server_(kServeMemod, options.server_cpu, std::to_string(kAnswerBytes).c_str()),
        client_(Client::Connect(server_.target()).value()),
        session_(client_.OpenSession(EchoRequest()).value()) {
    auto stub = Echo::NewStub(session_.channel());
    for (uint64_t key = 0; key < kKeys; ++key) {
      grpc::ClientContext context;
      EchoRequest request;
      EchoResponse response;
      request.ParseFromString(RequestBytes(key));
      if (!stub->Get(&context, request, &response).ok()) Fail("memod does not compute");
    }
  }

  std::unique_ptr<Load> MakeLoad(int calls_per_message) {
    return std::make_unique<Load>(client_.channel(), Metadata{{"memo-session", session_.handle()}},
                                  CallMessages(calls_per_message), calls_per_message, CountAnswers);
  }
  const ServerProcess& server() const { return server_; }
  // All must have been hits.
  void Check() {
    const auto info = session_.GetCacheInfo(kGet);
    if (!info.ok() || info->total().misses() != kKeys) Fail("not all were hits");
  }

 private:
  ServerProcess server_;
  Client client_;
  SessionHandle session_;
};

class BareSide {
 public:
  explicit BareSide(const Options& options)
      : server_(kServeStream, options.server_cpu),
        channel_(grpc::CreateChannel(server_.target(), grpc::InsecureChannelCredentials())) {}

  std::unique_ptr<Load> MakeLoad(int calls_per_message) {
    pipeline::MessageWriter writer;  // an answer of memod's
    const std::string response(kAnswerBytes, 'v');
    writer.Add(pipeline::Answer{.id = 8192, .cache = 1, .age_seconds = 1, .response = response});
    const size_t bytes = writer.size() * static_cast<size_t>(calls_per_message);
    return std::make_unique<Load>(channel_, Metadata{{"answer-bytes", absl::StrCat(bytes)}},
                                  CallMessages(calls_per_message), calls_per_message,
                                  [=](const ByteBuffer& message) {
                                    grpc::Slice slice;
                                    pipeline::InOnePiece(message, slice);
                                    if (message.Length() != bytes)
                                      Fail("an answer of another size");
                                    return calls_per_message;
                                  });
  }
  const ServerProcess& server() const { return server_; }

 private:
  ServerProcess server_;
  std::shared_ptr<grpc::Channel> channel_;
};

// ---- The rows.

void Row4(const Options& options, MemodSide& memod, RedisSide& redis) {
  const auto load = memod.MakeLoad(64);
  for (int round = 0; round < options.rounds; ++round) {
    const Rate ours = Measure(*load, memod.server(), options.seconds);
    const Rate theirs = redis.MeasureGets(options.seconds);
    PrintPair("4", "hits/s", ours.per_second, theirs.per_second, "Redis");
    PrintPair("4", "hits per CPU-second", ours.per_cpu_second, theirs.per_cpu_second, "Redis");
  }
}

void Row5(const Options& options, MemodSide& memod, RedisSide* redis) {
  BareSide bare(options);
  const auto load = memod.MakeLoad(256), bare_load = bare.MakeLoad(256);
  for (int round = 0; round < options.rounds; ++round) {
    const Rate echo = Measure(*bare_load, bare.server(), options.seconds);
    const Rate ours = Measure(*load, memod.server(), options.seconds);
    PrintPair("5", "hits/s", ours.per_second, echo.per_second, "bare stream");
    if (redis == nullptr) continue;
    const Rate theirs = redis->MeasureGets(options.seconds);
    PrintPair("5", "hits/s", ours.per_second, theirs.per_second, "Redis");
  }
}

int Run(const Options& options) {
  PinTo(options.client_cpu);
  MemodSide memod(options);
  std::unique_ptr<RedisSide> redis;
  if (!options.peer.empty()) redis = std::make_unique<RedisSide>(options, kKeys, kAnswerBytes);
  if (options.Wants("4") && redis) Row4(options, memod, *redis);
  if (options.Wants("5")) Row5(options, memod, redis.get());
  memod.Check();
  return 0;
}

}  // namespace
}  // namespace memod::benchmark

int main(int argc, char** argv) {
  using namespace memod::benchmark;
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  ServeIfTold(argc, argv);
  if (argc > 1 && std::string_view(argv[1]) == kServeStream) return ServeStream(), 0;
  return Run(ParseOptions(argc, argv));
}
