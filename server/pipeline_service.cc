#include "memod/server/pipeline_service.h"

#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/support/byte_buffer.h>

#include <vector>

#include "memod/server/pipeline_stream.h"

namespace memod {

using grpc::ByteBuffer;

PipelineService::PipelineService(const Environment& environment) : env_(environment) {
  AddMethod(new grpc::internal::RpcServiceMethod(
      "/memo.v1.PipelineService/Call", grpc::internal::RpcMethod::BIDI_STREAMING, nullptr));
  MarkMethodRawCallback(0, new grpc::internal::CallbackBidiHandler<ByteBuffer, ByteBuffer>(
                               [this](grpc::CallbackServerContext* context) {
                                 const auto stream =
                                     std::make_shared<PipelineStream>(*this, env_, *context);
                                 bool draining = false;
                                 {
                                   MutexLock lock(mutex_);
                                   streams_.insert(stream);
                                   draining = draining_;
                                 }
                                 if (draining) stream->Drain();
                                 stream->Start();
                                 return stream.get();
                               }));
}

void PipelineService::Drain() {
  {
    MutexLock lock(mutex_);
    draining_ = true;
  }
  for (const auto& stream : Streams()) stream->Drain();
}

int64_t PipelineService::unsent_bytes() const {
  int64_t bytes = 0;
  for (const auto& stream : Streams()) bytes += stream->unsent_bytes();
  return bytes;
}

std::vector<StalledCall> PipelineService::Stalled() { return StalledOf(Streams()); }

std::vector<std::shared_ptr<PipelineStream>> PipelineService::Streams() const {
  MutexLock lock(mutex_);
  return {streams_.begin(), streams_.end()};
}

void PipelineService::Done(const std::shared_ptr<PipelineStream>& stream) {
  MutexLock lock(mutex_);
  streams_.erase(stream);
}

}  // namespace memod
