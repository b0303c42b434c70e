// A session with one of memod's examples, at the memod that tests/benchmark/run has started.
#pragma once

#include <google/protobuf/message.h>
#include <grpcpp/support/status.h>

#include <chrono>
#include <string_view>

#include "memod/client/client.h"
#include "runner.h"

namespace memod::benchmark {

// What follows end the program, with the reason, when they fail.

Client ConnectTo(const Options& options);
SessionHandle Open(const Client& client, const google::protobuf::Message& state);
// Seattle's weather, as a DatasetState.
SessionHandle OpenWeather(const Client& client);
void Check(const grpc::Status& status);
[[noreturn]] void Fail(std::string_view why);

inline double MillisSince(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
      .count();
}

}  // namespace memod::benchmark
