// A client that calls all the time, for a test that restarts the servers behind it:
//
//   rolling_client SESSIONS ADDRESS...
//
// On each line of its stdin it prints what happened so far, as JSON; it ends with its stdin.
#include <atomic>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "memo/examples/v1/slow_adder.grpc.pb.h"
#include "memod/client/client.h"

namespace {

std::atomic<bool> stopping = false;
std::atomic<int64_t> calls = 0, failed = 0, wrong = 0, moves = 0, losses = 0;

void CallOn(const memod::SessionHandle& session) {
  const auto adder = memo::examples::v1::SlowAdder::NewStub(session.channel());
  for (int64_t number = 0; !stopping; ++number) {
    grpc::ClientContext context;
    memo::examples::v1::CalculateRequest request;
    request.add_numbers(number % 64);
    memo::examples::v1::CalculateResponse response;
    const grpc::Status status = adder->Calculate(&context, request, &response);
    ++calls;
    if (status.ok() && response.sum() != number % 64) ++wrong;
    if (status.ok()) continue;
    ++failed;
    static std::mutex one_at_a_time;
    const std::lock_guard lock(one_at_a_time);
    std::cerr << status.error_code() << " " << status.error_message() << std::endl;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const auto client = memod::Client::Connect(std::vector<std::string>(argv + 2, argv + argc));
  if (!client.ok()) return 1;
  memo::examples::v1::SlowAdderState state;
  state.mutable_delay()->set_nanos(1'000'000);
  memod::SessionEvents events;
  events.reopened = [] { ++moves; };
  events.lost = [](const absl::Status&) { ++losses; };
  std::vector<memod::SessionHandle> sessions;
  for (int i = 0; i < std::atoi(argv[1]); ++i) {
    auto session = client->OpenSession(state, events);
    if (!session.ok()) return 1;
    sessions.push_back(*std::move(session));
  }
  std::vector<std::thread> callers;
  for (const auto& session : sessions) callers.emplace_back(CallOn, std::cref(session));
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << "{\"calls\": " << calls << ", \"failed\": " << failed << ", \"wrong\": " << wrong
              << ", \"moves\": " << moves << ", \"losses\": " << losses << "}" << std::endl;
  }
  stopping = true;
  for (std::thread& caller : callers) caller.join();
  return 0;
}
