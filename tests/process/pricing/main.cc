// Serves Pricer with gRPC's own reflection, which is v1alpha only, on the address that it is given
// until its input ends. Prints the port once it serves.
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>

#include <iostream>
#include <string>

#include "pricing.grpc.pb.h"

namespace {

using pricing::v1::QuoteRequest;
using pricing::v1::QuoteResponse;

class Pricer final : public pricing::v1::Pricer::Service {
  grpc::Status Quote(grpc::ServerContext*, const QuoteRequest* request,
                     QuoteResponse* response) override {
    response->set_text("quote of " + request->symbol());
    return grpc::Status::OK;
  }
  grpc::Status History(grpc::ServerContext*, const QuoteRequest* request,
                       QuoteResponse* response) override {
    response->set_text("history of " + request->symbol());
    return grpc::Status::OK;
  }
  grpc::Status Buy(grpc::ServerContext*, const QuoteRequest* request,
                   QuoteResponse* response) override {
    response->set_text("bought " + request->symbol());
    return grpc::Status::OK;
  }
};

}  // namespace

int main(int, char** argv) {
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  Pricer pricer;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddListeningPort(argv[1], grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&pricer);
  const auto server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  std::cout << port << std::endl;
  for (std::string line; std::getline(std::cin, line);) continue;
  server->Shutdown(std::chrono::system_clock::now());
}
