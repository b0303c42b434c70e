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
  std::vector<std::shared_ptr<PipelineStream>> streams;
  {
    MutexLock lock(mutex_);
    draining_ = true;
    streams.assign(streams_.begin(), streams_.end());
  }
  for (const auto& stream : streams) stream->Drain();
}

void PipelineService::Done(const std::shared_ptr<PipelineStream>& stream) {
  MutexLock lock(mutex_);
  streams_.erase(stream);
}

}  // namespace memod
