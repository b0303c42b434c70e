#include "memod/tests/testing/raw_pipeline.h"

#include <gtest/gtest.h>

#include <chrono>

#include "testing/probe.pb.h"

namespace memod {

using memo::v1::CallRequest;
using memo::v1::CallResponse;

RawPipeline::RawPipeline(const std::shared_ptr<grpc::Channel>& channel,
                         const std::optional<std::string>& handle, const Metadata& metadata) {
  context_.set_deadline(std::chrono::system_clock::now() + kPatience);
  if (handle) context_.AddMetadata("memo-session", *handle);
  for (const auto& [name, value] : metadata) context_.AddMetadata(name, value);
  stream_ = memo::v1::PipelineService::NewStub(channel)->Call(&context_);
  CallRequest bind;
  uint32_t number = 0;
  for (const char* name : {kCompute, kOther, kShared}) {
    auto* method = bind.add_methods();
    method->set_number(++number);
    method->set_name(name);
  }
  Send(bind);
}

RawPipeline::~RawPipeline() {
  Cancel();
  End();
}

void AddCall(CallRequest& message, uint64_t id, const std::string& key, uint32_t method) {
  auto* call = message.add_calls();
  call->set_id(id);
  call->set_method(method);
  call->set_request(Request(key));
}

bool RawPipeline::Send(uint64_t first_id, const std::vector<std::string>& keys,
                       memo::v1::Control control, uint32_t method) {
  CallRequest message;
  for (const std::string& key : keys) {
    AddCall(message, first_id++, key, method);
    message.mutable_calls(message.calls_size() - 1)->set_control(control);
  }
  return Send(message);
}

std::optional<CallResponse> RawPipeline::Read() {
  CallResponse message;
  if (!stream_->Read(&message)) return std::nullopt;
  for (const auto& answer : message.answers()) {
    EXPECT_TRUE(answers_.emplace(answer.id(), answer).second)
        << "a second answer to " << answer.id();
  }
  return message;
}

const memo::v1::PipelinedAnswer* RawPipeline::Answer(uint64_t id) {
  while (!answers_.contains(id)) {
    if (!Read()) return nullptr;
  }
  return &answers_.at(id);
}

std::string RawPipeline::Words(uint64_t id) {
  const auto* answer = Answer(id);
  if (answer == nullptr) return "cut off";
  Told told;
  if (answer->has_error()) {
    const auto& error = answer->error();
    told.status = {static_cast<grpc::StatusCode>(error.code()), error.message(), error.details()};
    if (!error.memo_error().empty()) told.trailers.emplace("memo-error", error.memo_error());
  }
  static const std::map<int, std::string> words = {{memo::v1::CACHE_STATUS_HIT, "hit"},
                                                   {memo::v1::CACHE_STATUS_MISS, "miss"},
                                                   {memo::v1::CACHE_STATUS_COALESCED, "coalesced"},
                                                   {memo::v1::CACHE_STATUS_BYPASS, "bypass"},
                                                   {memo::v1::CACHE_STATUS_STALE, "stale"}};
  const auto word = words.find(answer->cache());
  if (word != words.end()) told.metadata.emplace("memo-cache", word->second);
  told.bytes = answer->response();
  return told.Words();
}

std::string RawPipeline::Get(const std::string& key, memo::v1::Control control, uint32_t method) {
  const uint64_t id = next_id_++;
  Send(id, {key}, control, method);
  return Words(id);
}

std::string RawPipeline::End() {
  if (end_) return *end_;
  while (Read()) {
  }
  Told told{.status = stream_->Finish(), .bytes = {}, .metadata = {}, .trailers = {}};
  told.trailers = ToMetadata(context_.GetServerTrailingMetadata());
  end_ = told.status.ok() ? "OK" : told.Words();
  return *end_;
}

}  // namespace memod
