#include "memod/tests/testing/upstream_test.h"

#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/create_channel.h>
#include <unistd.h>

#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"

namespace memod {
namespace {

std::shared_ptr<grpc::Channel> Connect(const std::string& target) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
}

// Of the service that kKnown is of; the file's name.
std::string WriteDescriptorSet() {
  google::protobuf::FileDescriptorSet set;
  auto& file = *set.add_file();
  file.set_name("known.proto");
  file.set_package("upstream.v1");
  file.set_syntax("proto3");
  file.add_message_type()->set_name("Any");
  auto& service = *file.add_service();
  service.set_name("Known");
  auto& method = *service.add_method();
  method.set_name("Get");
  method.set_input_type(".upstream.v1.Any");
  method.set_output_type(".upstream.v1.Any");
  const std::string path = absl::StrCat(testing::TempDir(), "/known-", getpid(), ".binpb");
  std::ofstream out(path, std::ios::binary);
  EXPECT_TRUE(set.SerializeToOstream(&out)) << path;
  return path;
}

}  // namespace

UpstreamTest::UpstreamTest() {
  upstream.On(kRemote, [this](UpstreamCall& call) {
    const std::string key = ReadKey(call);
    FakeUpstream::Script script;
    {
      const std::lock_guard lock(mutex_);
      if (const auto it = scripts_.find(key); it != scripts_.end()) script = it->second;
    }
    if (script != nullptr) return script(call);
    memo::testing::v1::ProbeRequest request;
    request.set_key(key);
    const auto response = lab.Run("", 0, request, nullptr);
    if (response.ok()) return call.Answer(response->SerializeAsString());
    call.Finish(grpc::Status(static_cast<grpc::StatusCode>(response.status().code()),
                             std::string(response.status().message())));
  });
}

void UpstreamTest::TearDown() {
  lab.OpenGates();
  EXPECT_TRUE(InProgressSoon(0));
  ServerTest::TearDown();
}

void UpstreamTest::ServeBefore(std::vector<MethodConfig> methods, ServeOptions options) {
  UpstreamConfig config;
  config.name = "slow";
  config.where = "memod.toml:1";
  config.target = upstream.target();
  config.methods = std::move(methods);
  config.descriptor_set = WriteDescriptorSet();
  options.config.upstreams.push_back(std::move(config));
  Serve(options);
}

MethodConfig UpstreamTest::Remote(const std::function<void(MethodConfig&)>& set,
                                  const std::string& name) {
  MethodConfig method;
  method.name = name;
  method.where = "memod.toml:2";
  if (set != nullptr) set(method);
  return method;
}

MethodConfig UpstreamTest::Public(std::function<void(MethodConfig&)> set, const std::string& name) {
  MethodConfig method = Remote(set, name);
  method.scope = Scope::kServer;
  method.is_public = true;
  return method;
}

std::string UpstreamTest::Get(const SessionHandle& session, const std::string& key,
                              const std::string& method, const std::string& control) {
  return Get(session, key, CallOptions{.method = method, .control = control});
}

Told UpstreamTest::AskRemote(const std::string& key, CallOptions options) {
  if (options.method == kCompute) options.method = kRemote;
  return Ask(std::nullopt, Request(key), options);
}

void UpstreamTest::OnRemote(const std::string& key, FakeUpstream::Script script) {
  const std::lock_guard lock(mutex_);
  scripts_[key] = std::move(script);
}

std::shared_ptr<grpc::Channel> UpstreamTest::through() {
  if (through_ == nullptr) through_ = Connect(target());
  return through_;
}

std::shared_ptr<grpc::Channel> UpstreamTest::direct() {
  if (direct_ == nullptr) direct_ = Connect(upstream.direct_target());
  return direct_;
}

std::string ReadKey(UpstreamCall& call) {
  memo::testing::v1::ProbeRequest request;
  request.ParseFromString(call.Read().value_or(""));
  return request.key();
}

std::string Response(const std::string& value) {
  memo::testing::v1::ProbeResponse response;
  response.set_value(value);
  return response.SerializeAsString();
}

}  // namespace memod
