#include "examples_client.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>

#include "memo/examples/v1/dataset.pb.h"

namespace memod::benchmark {

void Fail(std::string_view why) {
  std::fprintf(stderr, "%.*s\n", static_cast<int>(why.size()), why.data());
  std::exit(1);
}

Client ConnectTo(const Options& options) {
  if (options.memod.empty()) Fail("--memod HOST:PORT is missing");
  absl::StatusOr<Client> client = Client::Connect(options.memod);
  if (!client.ok()) Fail(std::string(client.status().message()));
  return *std::move(client);
}

SessionHandle Open(const Client& client, const google::protobuf::Message& state) {
  absl::StatusOr<SessionHandle> session = client.OpenSession(state);
  if (!session.ok()) Fail(std::string(session.status().message()));
  return *std::move(session);
}

SessionHandle OpenWeather(const Client& client) {
  std::ifstream file(MEMOD_SOURCE_DIR "/tests/data/seattle-weather.csv");
  memo::examples::v1::DatasetState state;
  state.set_csv(std::string((std::istreambuf_iterator<char>(file)), {}));
  return Open(client, state);
}

void Check(const grpc::Status& status) {
  if (!status.ok()) Fail(status.error_message());
}

}  // namespace memod::benchmark
