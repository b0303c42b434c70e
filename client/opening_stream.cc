// HoldingStream::Open: the stream of OpenSession.
#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <utility>

#include "memo/v1/session.grpc.pb.h"
#include "memod/client/holding_stream.h"

namespace memod {
namespace {

using memo::v1::OpenSessionRequest;
using memo::v1::OpenSessionResponse;
using memo::v1::SessionService;

class OpeningStream final : public HoldingStream,
                            public grpc::ClientReadReactor<OpenSessionResponse>,
                            public std::enable_shared_from_this<OpeningStream> {
 public:
  OpeningStream(std::shared_ptr<grpc::Channel> channel, OpenSessionRequest request,
                Listener listener)
      : channel_(std::move(channel)),
        request_(std::move(request)),
        listener_(std::move(listener)) {}

  void Start() override {
    self_ = shared_from_this();
    // The stub is needed for the start only: the context keeps the channel.
    SessionService::NewStub(channel_)->async()->OpenSession(&context_, &request_, this);
    StartRead(&event_);
    StartCall();
  }

  void Cancel() override { context_.TryCancel(); }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return;  // OnDone follows and says why
    if (event_.has_opened()) {
      OpenSessionRequest().Swap(&request_);  // the state can be large
      listener_.held(event_.opened());
    } else if (event_.has_draining()) {
      listener_.draining();
    }
    StartRead(&event_);
  }

  void OnDone(const grpc::Status& status) override {
    const std::shared_ptr<HoldingStream> self = std::move(self_);
    const Listener listener = std::move(listener_);
    listener.ended(EndOf(status, context_));
  }

  const std::shared_ptr<grpc::Channel> channel_;
  grpc::ClientContext context_;
  OpenSessionRequest request_;
  OpenSessionResponse event_;
  Listener listener_;
  std::shared_ptr<HoldingStream> self_;  // from Start until done
};

}  // namespace

std::shared_ptr<HoldingStream> HoldingStream::Open(std::shared_ptr<grpc::Channel> channel,
                                                   OpenSessionRequest request, Listener listener) {
  KeepCallbackThreads();
  return std::make_shared<OpeningStream>(std::move(channel), std::move(request),
                                         std::move(listener));
}

}  // namespace memod
