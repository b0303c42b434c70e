#include "memod/server/upstream_types.h"

#include <grpcpp/client_context.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/client_callback.h>

#include <chrono>
#include <deque>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "memod/server/grpc_status.h"
#include "memod/server/logging.h"

namespace memod {
namespace {

using google::protobuf::FileDescriptorProto;
using google::protobuf::FileDescriptorSet;
// Of v1alpha too: what goes over the wire is the same.
using grpc::reflection::v1::ServerReflectionRequest;
using grpc::reflection::v1::ServerReflectionResponse;

constexpr char kV1[] = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
constexpr char kV1Alpha[] = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

constexpr std::chrono::seconds kPatience(10);
// Whatever an upstream sends.
constexpr size_t kMaxBytes = 64 << 20;
constexpr size_t kMaxQuestions = 20'000;

}  // namespace

// One question at a time: which services there are, then the file of each, then each file that is
// imported and was not sent along. Deletes itself.
class UpstreamTypes::Question final
    : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  Question(UpstreamTypes& types, bool v1) : hold_(types.upstream_), types_(types), v1_(v1) {
    context_->set_deadline(std::chrono::system_clock::now() + kPatience);
    services_ = types_.upstream_.services();
    if (services_.empty()) todo_.emplace_back().set_list_services("*");
    for (const std::string& service : services_) AskForService(service);
  }

  const std::shared_ptr<grpc::ClientContext>& context() const { return context_; }

  void Start() {
    types_.upstream_.stub().PrepareBidiStreamingCall(context_.get(), v1_ ? kV1 : kV1Alpha, {},
                                                     this);
    Next();
    StartCall();
  }

 private:
  void AskForService(const std::string& name) {
    todo_.emplace_back().set_file_containing_symbol(name);
  }

  void Next() {
    if (todo_.empty()) {
      complete_ = true;
      return context_->TryCancel();  // it need not end by itself
    }
    if (++asked_ > kMaxQuestions) return GiveUp("more files than memod asks for");
    bool own_buffer = false;
    request_.Clear();
    grpc::SerializationTraits<ServerReflectionRequest>::Serialize(todo_.front(), &request_,
                                                                  &own_buffer);
    todo_.pop_front();
    StartWrite(&request_);
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return;
    response_.Clear();
    StartRead(&response_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    ServerReflectionResponse response;
    bytes_ += response_.Length();
    if (bytes_ > kMaxBytes) return GiveUp("more than 64 MiB");
    if (!grpc::SerializationTraits<ServerReflectionResponse>::Deserialize(&response_, &response)
             .ok()) {
      return GiveUp("an answer that is none");
    }
    for (const auto& service : response.list_services_response().service()) {
      services_.push_back(service.name());
      AskForService(service.name());
    }
    for (const std::string& bytes : response.file_descriptor_response().file_descriptor_proto()) {
      FileDescriptorProto file;
      if (!file.ParseFromString(bytes)) return GiveUp("a file that is none");
      Add(std::move(file));
    }
    // What it knows nothing of is left out: `error_response`.
    if (todo_.empty()) AskForImports();
    Next();
  }

  void Add(FileDescriptorProto file) {
    if (!known_.insert(file.name()).second) return;
    imports_.insert(file.dependency().begin(), file.dependency().end());
    *files_.add_file() = std::move(file);
  }

  void AskForImports() {
    for (const std::string& name : std::exchange(imports_, {})) {
      if (!known_.count(name) && sought_.insert(name).second) {
        todo_.emplace_back().set_file_by_filename(name);
      }
    }
  }

  void GiveUp(const std::string& why) {
    fault_ = absl::DataLossError(absl::StrCat("its reflection sent ", why));
    context_->TryCancel();
  }

  // Once `types_` is told, it may be gone.
  void OnDone(const grpc::Status& status) override {
    if (complete_) {
      types_.Ended(v1_, ProtoFiles::Make(std::move(services_), files_));
    } else {
      const absl::Status ended = FromGrpcStatus(status, {});
      types_.Ended(v1_, !fault_.ok()  ? fault_
                        : !ended.ok() ? ended
                                      : absl::UnavailableError("its reflection did not answer"));
    }
    delete this;
  }

  const Upstream::Hold hold_;  // let go last
  UpstreamTypes& types_;
  const bool v1_;
  const std::shared_ptr<grpc::ClientContext> context_ = std::make_shared<grpc::ClientContext>();
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;

  std::deque<ServerReflectionRequest> todo_;
  size_t asked_ = 0;
  size_t bytes_ = 0;
  bool complete_ = false;
  absl::Status fault_;
  std::vector<std::string> services_;
  std::set<std::string> known_;    // files that are in files_
  std::set<std::string> imports_;  // of those that came since the last AskForImports
  std::set<std::string> sought_;   // imports that were asked for
  FileDescriptorSet files_;
};

UpstreamTypes::~UpstreamTypes() {
  MutexLock lock(mutex_);
  stopped_ = true;
  if (asking_ != nullptr) asking_->TryCancel();
  while (asking_ != nullptr) changed_.wait(mutex_);
}

void UpstreamTypes::Ask() {
  MutexLock lock(mutex_);
  if (asking_ != nullptr) {
    again_ = true;
  } else if (!stopped_) {
    Start(/*v1=*/true);
  }
}

void UpstreamTypes::Start(bool v1) {
  auto* question = new Question(*this, v1);
  asking_ = question->context();
  question->Start();
}

void UpstreamTypes::Ended(bool v1, absl::StatusOr<Files> answer) {
  Upstream& upstream = upstream_;  // there until the question is gone, which this need not be
  const bool log = [&] {
    MutexLock lock(mutex_);
    asking_ = nullptr;
    const bool older = v1 && absl::IsUnimplemented(answer.status());
    if (!stopped_ && (older || again_)) {
      again_ = again_ && older;
      Start(!older);
      return false;
    }
    answered_ = true;
    last_ = answer.status();
    if (answer.ok()) {
      files_ = *answer;
      if (listener_ && !stopped_) listener_(*files_);
    }
    changed_.notify_all();
    return !stopped_;
  }();
  if (!log) return;
  Log(LogLevel::debug, answer.ok() ? "upstream has said what it serves" : "upstream does not say",
      {{"upstream", upstream.name()},
       {"services", answer.ok() ? (*answer)->services().size() : 0},
       {"why", std::string(answer.status().message())}});
}

void UpstreamTypes::Listen(std::function<void(const ProtoFiles& files)> listener) {
  MutexLock lock(mutex_);
  listener_ = std::move(listener);
  if (files_ != nullptr) listener_(*files_);
}

UpstreamTypes::Files UpstreamTypes::files() const {
  MutexLock lock(mutex_);
  return files_;
}

void UpstreamTypes::Assume(Files files) {
  MutexLock lock(mutex_);
  assumed_ = std::move(files);
}

bool UpstreamTypes::IsUnary(const std::string& method) const {
  MutexLock lock(mutex_);
  const Files& known = files_ != nullptr ? files_ : assumed_;
  return known != nullptr && known->IsUnary(method);
}

absl::StatusOr<UpstreamTypes::Files> UpstreamTypes::Await(Time until) {
  MutexLock lock(mutex_);
  while (!answered_) {
    if (changed_.wait_until(mutex_, until) == std::cv_status::timeout) break;
  }
  if (files_ != nullptr) return files_;
  if (answered_) return last_;
  return absl::DeadlineExceededError(upstream_.connected() ? "no answer" : "not connected");
}

}  // namespace memod
