#include "memod/server/incarnator.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "memod/cache/memo_error.h"

namespace memod {
namespace {

// All that the answers of sessions in state scope depend on. What a session captured of its
// metadata reaches its computations, so sessions that differ in it share nothing. The state comes
// last, and is taken from here again.
std::shared_ptr<const SharedKey> KeyOf(const std::string& type, const std::string& state,
                                       const Metadata& metadata) {
  std::string captured;
  for (const auto& [name, value] : metadata) {
    AppendField(name, captured);
    AppendField(value, captured);
  }
  std::string key;
  key.reserve(type.size() + captured.size() + state.size() + 64);
  AppendField(type, key);
  AppendField(captured, key);
  AppendField(state, key);
  return std::make_shared<const SharedKey>(std::move(key));
}

std::string_view StateIn(std::string_view key) {
  TakeField(key);
  TakeField(key);
  return TakeField(key);
}

}  // namespace

void Incarnator::Make(std::optional<google::protobuf::Any> state, Metadata metadata,
                      Client client) {
  clients_.fetch_add(1, std::memory_order_relaxed);
  if (!state) {
    Self self{.instance = nullptr, .metadata = std::move(metadata)};
    return Tell(client, env_.sessions.MakeOrigin("", std::move(self)));
  }
  const auto size = static_cast<int64_t>(state->value().size());
  if (size > env_.max_state_bytes) {
    return Tell(client,
                MemoError(absl::StatusCode::kResourceExhausted, memo_error::kLimit,
                          absl::StrCat("the state is ", size, " bytes, limit ",
                                       env_.max_state_bytes, " (session.max_state_bytes)")));
  }
  const auto hosted = ClassOf(*state);
  if (!hosted.ok()) return Tell(client, hosted.status());
  const auto build = std::make_shared<Build>();
  build->hosted = *hosted;
  build->state = std::move(*state->mutable_value());
  if ((*hosted)->shares_equal_states) {
    build->shared_key = KeyOf((*hosted)->state_type, std::exchange(build->state, {}), metadata);
  }
  build->metadata = std::move(metadata);
  build->clients.push_back(std::move(client));
  Start(build);
}

void Incarnator::Tell(Client& client, absl::StatusOr<Origin> made) {
  client.done(std::move(made));
  clients_.fetch_sub(1, std::memory_order_relaxed);
}

void Incarnator::Start(const BuildPtr& build) {
  if (build->shared_key != nullptr) {
    {
      MutexLock lock(mutex_);
      const auto [it, is_new] = builds_.try_emplace(build->shared_key, build);
      if (!is_new) {
        for (Client& client : build->clients) it->second->clients.push_back(std::move(client));
        return;
      }
    }
    // A build before this one is over only once its sessions are open, and can be found.
    if (const auto found = env_.sessions.FindShared(build->shared_key)) {
      return Succeed(build, *found);
    }
  }
  auto job = [this, build](const absl::Status& refused) {
    if (!refused.ok()) return Fail(build, refused);
    Run(build);
  };
  env_.pool.Submit(std::move(job), [this, build] { return Wanted(*build); });
}

bool Incarnator::Wanted(const Build& build) {
  std::vector<std::function<bool()>> wanted;  // foreign: asked under no lock of ours
  {
    MutexLock lock(mutex_);
    for (const Client& client : build.clients) wanted.push_back(client.wanted);
  }
  return std::any_of(wanted.begin(), wanted.end(), [](const auto& ask) { return ask(); });
}

void Incarnator::Run(const BuildPtr& build) {
  const std::string_view state =
      build->shared_key == nullptr ? build->state : StateIn(build->shared_key->bytes);
  auto instance = CreateInstance(*build->hosted, state, build->metadata);
  if (!instance.ok()) return Fail(build, instance.status());
  build->state = {};
  Self self{.instance = *std::move(instance), .metadata = std::move(build->metadata)};
  Succeed(build,
          env_.sessions.MakeOrigin(build->hosted->state_type, std::move(self), build->shared_key));
}

void Incarnator::Succeed(const BuildPtr& build, const Origin& origin) {
  // Those who come meanwhile wait, until the first have opened the session that they will find.
  for (const bool last : {false, true}) {
    for (Client& client : TakeClients(*build, last)) Tell(client, origin);
  }
}

void Incarnator::Fail(const BuildPtr& build, const absl::Status& error) {
  const auto again = std::make_shared<Build>(
      Build{build->hosted, build->metadata, build->state, build->shared_key, {}});
  for (Client& client : TakeClients(*build, /*last=*/true)) {
    // Given up because nobody wanted it, but this one came after that.
    if (absl::IsCancelled(error) && build->shared_key != nullptr && client.wanted()) {
      again->clients.push_back(std::move(client));
    } else {
      Tell(client, error);
    }
  }
  if (!again->clients.empty()) Start(again);
}

std::vector<Incarnator::Client> Incarnator::TakeClients(Build& build, bool last) {
  std::vector<Client> clients;
  MutexLock lock(mutex_);
  clients.swap(build.clients);
  if (last && build.shared_key != nullptr) builds_.erase(build.shared_key);
  return clients;
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
