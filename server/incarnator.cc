#include "memod/server/incarnator.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "memod/cache/memo_error.h"

namespace memod {
namespace {

// All that the answers of sessions in state scope depend on. What a session captured of its
// metadata reaches its computations, so sessions that differ in it share nothing.
std::string SharedKey(const std::string& type, const std::string& state, const Metadata& metadata) {
  std::string key;
  AppendField(type, key);
  AppendField(state, key);
  for (const auto& [name, value] : metadata) {
    AppendField(name, key);
    AppendField(value, key);
  }
  return key;
}

}  // namespace

void Incarnator::Make(std::optional<google::protobuf::Any> state, Metadata metadata,
                      Client client) {
  if (!state) {
    Self self{.instance = nullptr, .metadata = std::move(metadata)};
    return client.done(env_.sessions.Incarnate("", std::move(self)));
  }
  const auto size = static_cast<int64_t>(state->value().size());
  if (size > env_.max_state_bytes) {
    return client.done(MemoError(absl::StatusCode::kResourceExhausted, memo_error::kLimit,
                                 absl::StrCat("the state is ", size, " bytes, limit ",
                                              env_.max_state_bytes, " (session.max_state_bytes)")));
  }
  const auto hosted = ClassOf(*state);
  if (!hosted.ok()) return client.done(hosted.status());
  const auto build = std::make_shared<Build>();
  build->hosted = *hosted;
  build->state = std::move(*state->mutable_value());
  if ((*hosted)->shares_equal_states) {
    build->shared_key = SharedKey((*hosted)->state_type, build->state, metadata);
  }
  build->metadata = std::move(metadata);
  build->clients.push_back(std::move(client));
  if (build->shared_key.empty()) return Submit(build);
  MakeShared(build);
}

// Of an open session, of a build that is under way, or else by a new one.
void Incarnator::MakeShared(std::shared_ptr<Build> build) {
  std::shared_ptr<Incarnation> found;
  {
    MutexLock lock(mutex_);
    const auto [it, is_new] = builds_.try_emplace(build->shared_key, build);
    if (!is_new) {
      it->second->clients.push_back(std::move(build->clients.front()));
      return;
    }
    found = env_.sessions.FindShared(build->shared_key);
  }
  if (found == nullptr) return Submit(std::move(build));
  Finish(build, found);
}

void Incarnator::Submit(std::shared_ptr<Build> build) {
  auto job = [this, build](const absl::Status& refused) {
    if (absl::IsCancelled(refused)) return Abandon(build);
    Finish(build, refused.ok() ? Run(*build) : Made(refused));
  };
  env_.pool.Submit(std::move(job), [this, build] { return Wanted(*build); });
}

bool Incarnator::Wanted(const Build& build) {
  std::vector<std::function<bool()>> wanted;  // foreign: asked under no lock
  {
    MutexLock lock(mutex_);
    for (const Client& client : build.clients) wanted.push_back(client.wanted);
  }
  for (const auto& is_wanted : wanted) {
    if (is_wanted()) return true;
  }
  return false;
}

// Nobody wanted it any more. Who came since does, and starts it anew.
void Incarnator::Abandon(const std::shared_ptr<Build>& build) {
  std::vector<Client> clients, newcomers;
  {
    MutexLock lock(mutex_);
    clients.swap(build->clients);
  }
  for (Client& client : clients) {
    if (client.wanted()) {
      newcomers.push_back(std::move(client));
    } else {
      client.done(absl::CancelledError());
    }
  }
  {
    MutexLock lock(mutex_);
    std::move(newcomers.begin(), newcomers.end(), std::back_inserter(build->clients));
    if (RetireIfDone(*build)) return;
  }
  Submit(build);
}

Incarnator::Made Incarnator::Run(Build& build) {
  auto instance = CreateInstance(*build.hosted, build.state, build.metadata);
  if (!instance.ok()) return instance.status();
  build.state = {};
  return env_.sessions.Incarnate(
      build.hosted->state_type,
      {.instance = *std::move(instance), .metadata = std::move(build.metadata)}, build.shared_key);
}

void Incarnator::Finish(const std::shared_ptr<Build>& build, const Made& made) {
  while (true) {
    std::vector<Client> clients;
    {
      MutexLock lock(mutex_);
      // Until those before have their sessions, newcomers find the build, and then the sessions'.
      if (RetireIfDone(*build)) return;
      clients.swap(build->clients);
    }
    for (Client& client : clients) client.done(made);
  }
}

bool Incarnator::RetireIfDone(const Build& build) {
  if (!build.clients.empty()) return false;
  if (!build.shared_key.empty()) builds_.erase(build.shared_key);
  return true;
}

absl::StatusOr<const HostedService*> Incarnator::ClassOf(const google::protobuf::Any& state) const {
  const std::string type = state.type_url().substr(state.type_url().rfind('/') + 1);
  std::vector<std::string> known;
  for (const auto& service : env_.registry.services()) {
    if (service->state_type.empty()) continue;
    if (service->state_type == type) return service.get();
    known.push_back(service->state_type);
  }
  return MemoError(absl::StatusCode::kInvalidArgument, memo_error::kBadRequest,
                   absl::StrCat("no hosted class takes a state of type ", Quoted(type),
                                "; those taken: ", absl::StrJoin(known, ", ")));
}

}  // namespace memod
