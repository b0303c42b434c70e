// What a unary hit costs beside a bare gRPC callback service that answers the same 64 bytes: two
// server processes on loopback, measured in turn (A B A B ...) by one client.
//
//   unary_benchmark [rounds]      default: 15, about a second each
#include <grpcpp/grpcpp.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <semaphore>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "echo.grpc.pb.h"
#include "memo/v1/session.grpc.pb.h"
#include "memod/server/server.h"

extern char** environ;

namespace memod::benchmark {
namespace {

using Steady = std::chrono::steady_clock;

constexpr int kKeys = 128;
constexpr int kCallers = 64;
constexpr int kKeyBytes = 14;  // with its tag and length, a request of 16 bytes
constexpr int kValueBytes = 62;
constexpr auto kRound = std::chrono::milliseconds(1000);

// ---- The two servers, each a process of its own.

class BareEcho final : public Echo::CallbackService {
  grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* context, const EchoRequest*,
                                EchoResponse* response) override {
    response->set_value(std::string(kValueBytes, 'v'));
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

class HostedEcho {
 public:
  static absl::StatusOr<std::unique_ptr<HostedEcho>> Create(const EchoRequest&) {
    return std::make_unique<HostedEcho>();
  }
  absl::StatusOr<EchoResponse> Get(const EchoRequest&) const {
    EchoResponse response;
    response.set_value(std::string(kValueBytes, 'v'));
    return response;
  }
};

// Tells the port on standard output, serves until standard input ends.
void ServeUntilEof(int port) {
  std::printf("%d\n", port);
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
}

void ServeBare() {
  BareEcho service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  ServeUntilEof(port);
  server->Shutdown();
}

void ServeMemod() {
  Registry registry;
  registry.Class<&HostedEcho::Create>("memod.benchmark.Echo").Method<&HostedEcho::Get>("Get");
  Config config;
  config.server.listen = config.admin.listen = "127.0.0.1:0";
  config.admin.http = "";
  InitLogging(LogLevel::off, LogFormat::kText);
  const auto server = Server::Start(config, registry);
  if (!server.ok()) std::exit(1);
  ServeUntilEof((*server)->port());
}

class ServerProcess {
 public:
  explicit ServerProcess(const char* mode) {
    int in[2], out[2];
    if (pipe(in) != 0 || pipe(out) != 0) std::abort();
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    for (int fd : {in[0], in[1], out[0], out[1]}) posix_spawn_file_actions_addclose(&actions, fd);
    char self[] = "/proc/self/exe";
    char* argv[] = {self, const_cast<char*>(mode), nullptr};
    if (posix_spawn(&pid_, self, &actions, nullptr, argv, environ) != 0) std::abort();
    close(in[0]);
    close(out[1]);
    stdin_ = in[1];
    FILE* lines = fdopen(out[0], "r");
    if (std::fscanf(lines, "%d", &port_) != 1) std::abort();
  }
  ~ServerProcess() {
    close(stdin_);
    waitpid(pid_, nullptr, 0);
  }

  std::string target() const { return absl::StrCat("127.0.0.1:", port_); }

  double CpuSeconds() const {
    std::ifstream file(absl::StrCat("/proc/", pid_, "/stat"));
    std::string text((std::istreambuf_iterator<char>(file)), {});
    std::istringstream fields(text.substr(text.rfind(')') + 2));
    std::vector<std::string> f{std::istream_iterator<std::string>(fields), {}};
    return (std::stod(f[11]) + std::stod(f[12])) / static_cast<double>(sysconf(_SC_CLK_TCK));
  }

 private:
  pid_t pid_ = 0;
  int port_ = 0;
  int stdin_ = -1;
};

// ---- The client.

struct Side {
  explicit Side(const char* mode)
      : server(mode),
        channel(grpc::CreateChannel(server.target(), grpc::InsecureChannelCredentials())),
        stub(Echo::NewStub(channel)) {}

  ServerProcess server;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<Echo::Stub> stub;
  std::string handle;  // of memod's session
};

EchoRequest RequestFor(uint64_t i) {
  EchoRequest request;
  char key[kKeyBytes + 1];
  std::snprintf(key, sizeof(key), "%0*d", kKeyBytes, static_cast<int>(i % kKeys));
  request.set_key(key);
  return request;
}

// One caller after another call: starts the next as soon as one is answered, until told to stop.
class Caller {
 public:
  Caller(Side& side, std::atomic<bool>& stop, uint64_t seed, std::counting_semaphore<>& done)
      : side_(side), stop_(stop), next_(seed), done_(done) {}

  void Start() {
    context_ = std::make_unique<grpc::ClientContext>();
    if (!side_.handle.empty()) context_->AddMetadata("memo-session", side_.handle);
    request_ = RequestFor(next_++);
    side_.stub->async()->Get(context_.get(), &request_, &response_, [this](grpc::Status status) {
      if (!status.ok() || response_.value().size() != kValueBytes) {
        std::fprintf(stderr, "call failed: %s\n", status.error_message().c_str());
        std::exit(1);
      }
      ++calls;
      stop_ ? done_.release() : Start();
    });
  }

  uint64_t calls = 0;

 private:
  Side& side_;
  std::atomic<bool>& stop_;
  uint64_t next_;
  std::counting_semaphore<>& done_;
  std::unique_ptr<grpc::ClientContext> context_;
  EchoRequest request_;
  EchoResponse response_;
};

struct Throughput {
  double calls_per_second;
  double cpu_per_call;
};

Throughput MeasureThroughput(Side& side) {
  std::atomic<bool> stop{false};
  std::counting_semaphore<> done(0);
  std::vector<std::unique_ptr<Caller>> callers;
  for (int i = 0; i < kCallers; ++i) {
    callers.push_back(std::make_unique<Caller>(side, stop, i * 37, done));
  }
  const double cpu = side.server.CpuSeconds();
  const auto begin = Steady::now();
  for (auto& caller : callers) caller->Start();
  std::this_thread::sleep_for(kRound);
  stop = true;
  for (int i = 0; i < kCallers; ++i) done.acquire();
  const double seconds = std::chrono::duration<double>(Steady::now() - begin).count();
  uint64_t calls = 0;
  for (auto& caller : callers) calls += caller->calls;
  return {static_cast<double>(calls) / seconds,
          (side.server.CpuSeconds() - cpu) / static_cast<double>(calls)};
}

struct Latency {
  double p50;
  double p99;
};

Latency MeasureLatency(Side& side) {
  std::vector<double> micros;
  for (const auto end = Steady::now() + kRound / 2; Steady::now() < end;) {
    grpc::ClientContext context;
    if (!side.handle.empty()) context.AddMetadata("memo-session", side.handle);
    EchoResponse response;
    const auto begin = Steady::now();
    if (!side.stub->Get(&context, RequestFor(micros.size()), &response).ok()) std::exit(1);
    micros.push_back(std::chrono::duration<double, std::micro>(Steady::now() - begin).count());
  }
  std::sort(micros.begin(), micros.end());
  return {micros[micros.size() / 2], micros[micros.size() * 99 / 100]};
}

// ---- The table: medians of the paired ratios, and their quartiles.

double Quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
}

struct Row {
  const char* name;
  const char* unit;
  double scale;
  std::vector<double> memod{}, bare{}, ratio{};

  void Add(double m, double b) {
    memod.push_back(m * scale);
    bare.push_back(b * scale);
    ratio.push_back(m / b);
  }
  void Print() const {
    std::printf("%-38s %10.1f %10.1f %-9s %6.2f  %.2f..%.2f\n", name, Quantile(memod, .5),
                Quantile(bare, .5), unit, Quantile(ratio, .5), Quantile(ratio, .25),
                Quantile(ratio, .75));
  }
};

int Compare(int rounds) {
  Side bare("--serve-bare"), memod("--serve-memod");
  grpc::ClientContext context;
  memo::v1::OpenSessionRequest open;
  open.mutable_state()->PackFrom(EchoRequest());
  memo::v1::OpenSessionResponse opened;
  auto stream = memo::v1::SessionService::NewStub(memod.channel)->OpenSession(&context, open);
  if (!stream->Read(&opened)) return 1;
  memod.handle = opened.opened().handle();

  Row rate{"hits, 64 callers", "1/s", 1}, cpu{"server CPU per hit", "us", 1e6};
  Row p50{"latency, one caller, p50", "us", 1}, p99{"latency, one caller, p99", "us", 1};
  MeasureThroughput(bare);  // connections, and the misses
  MeasureThroughput(memod);
  for (int i = 0; i < rounds; ++i) {
    const Throughput b = MeasureThroughput(bare), m = MeasureThroughput(memod);
    rate.Add(m.calls_per_second, b.calls_per_second);
    cpu.Add(m.cpu_per_call, b.cpu_per_call);
    const Latency bl = MeasureLatency(bare), ml = MeasureLatency(memod);
    p50.Add(ml.p50, bl.p50);
    p99.Add(ml.p99, bl.p99);
  }
  std::printf("%d rounds in turn, 16 B request, 64 B answer, %ld cores\n", rounds,
              sysconf(_SC_NPROCESSORS_ONLN));
  std::printf("%-38s %10s %10s %-9s %6s  %s\n", "", "memod", "bare gRPC", "", "ratio", "quartiles");
  for (const Row* row : {&rate, &cpu, &p50, &p99}) row->Print();
  context.TryCancel();
  return 0;
}

}  // namespace
}  // namespace memod::benchmark

int main(int argc, char** argv) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  const std::string argument = argc > 1 ? argv[1] : "15";
  if (argument == "--serve-bare") return memod::benchmark::ServeBare(), 0;
  if (argument == "--serve-memod") return memod::benchmark::ServeMemod(), 0;
  return memod::benchmark::Compare(std::max(1, std::atoi(argument.c_str())));
}
