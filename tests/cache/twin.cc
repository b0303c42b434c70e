#include "memod/tests/cache/twin.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "gtest/gtest.h"
#include "memod/tests/cache/fixture.h"

namespace memod {

Twin::Twin(const Bounds& bounds, const std::vector<Policy>& methods)
    : context_(bounds.max_bytes),
      model_(bounds.max_bytes, bounds.guaranteed_bytes, bounds.max_depth, methods) {
  std::map<std::string, std::shared_ptr<CacheBounds>> named;
  for (const Policy& policy : methods) {
    const auto id = static_cast<uint32_t>(methods_.size());
    std::shared_ptr<CacheBounds> own;
    auto& shared = policy.cache.empty() ? own : named[policy.cache];
    if (shared == nullptr) shared = std::make_shared<CacheBounds>(policy.cache, policy);
    methods_.emplace_back(id, "/test.Service/" + std::to_string(id), policy, shared);
  }
  table_.emplace(context_, SessionTable::Limits{.max_depth = bounds.max_depth,
                                                .guaranteed_bytes = bounds.guaranteed_bytes});
}

Twin::~Twin() {
  while (sessions() > 0) Close(0);
  while (!computations_.empty()) Complete(Innermost(0), "late");
  EXPECT_TRUE(waiting_.empty());
  Clear(std::nullopt, std::nullopt);
  table_.reset();
  context_.reaper.Drain();
  EXPECT_EQ(context_.flights, 0);
  EXPECT_EQ(context_.instances, 0);
  EXPECT_EQ(context_.bytes.used(), 0);
}

std::string Twin::Told(const Outcome& outcome) { return memod::Told(outcome); }

// Sessions

Origin Twin::MakeOrigin(const std::optional<std::string>& state) {
  const auto key = state ? std::make_shared<const SharedKey>("state " + *state) : nullptr;
  if (state) {
    if (auto shared = table_->FindShared(key)) return *shared;
  }
  return table_->MakeOrigin("", {.instance = std::make_shared<int>(), .metadata = {}}, key);
}

void Twin::Open(const std::optional<std::string>& state) {
  auto session = table_->Open(MakeOrigin(state), "", now_);
  sessions_.push_back(std::make_unique<Pair>(Pair{*std::move(session), model_.Open(state)}));
  ExpectSame();
}

void Twin::Close(int session) {
  Pair& pair = *sessions_[session];
  const auto receipt = table_->Close(pair.session, CloseReason::kClosedByClient);
  EXPECT_EQ(receipt, model_.Close(pair.model));
  EXPECT_EQ(table_->Find(pair.session->handle()), nullptr);
  sessions_.erase(sessions_.begin() + session);
  ExpectSame();
}

void Twin::Update(int session, const std::optional<std::string>& state) {
  Pair& pair = *sessions_[session];
  const auto receipt = table_->Update(*pair.session, MakeOrigin(state));
  EXPECT_EQ(*receipt, model_.Update(pair.model, state));
  ExpectSame();
}

void Twin::Forget(int session, int method, const std::string& key) {
  const bool shared = methods_[method].policy.scope == Scope::kServer;
  const Pair& pair = *sessions_[session];
  const auto incarnation = shared ? table_->shared() : pair.session->incarnation();
  const Receipt receipt =
      incarnation->cache->Forget(methods_[method], CacheKey(methods_[method].id, key));
  EXPECT_EQ(receipt, model_.Forget(shared ? model_.shared() : pair.model.cache, method, key));
  ExpectSame();
}

void Twin::Clear(std::optional<int> session, std::optional<int> method) {
  Pair* pair = session ? sessions_[*session].get() : nullptr;
  const Receipt receipt = table_->Clear(pair == nullptr ? nullptr : pair->session.get(),
                                        method ? &methods_[*method] : nullptr);
  EXPECT_EQ(receipt, model_.Clear(pair == nullptr ? nullptr : &pair->model, method));
  ExpectSame();
}

// Calls

int Twin::Call(int session, int method, const std::string& key, Control control) {
  const bool shared = methods_[method].policy.scope == Scope::kServer;
  Pair* pair = shared ? nullptr : sessions_[session].get();
  const auto incarnation = shared ? table_->shared() : pair->session->incarnation();
  return Start(*incarnation->cache, incarnation->self,
               pair == nullptr ? nullptr : pair->session.get(), nullptr,
               {.caller = next_caller_,
                .cache = shared ? model_.shared() : pair->model.cache,
                .method = method,
                .key = key,
                .control = control,
                .now = now_,
                .parent = nullptr,
                .session = shared ? -1 : pair->model.id});
}

int Twin::CallNested(const Computation& parent, int method, const std::string& key) {
  const bool shared = methods_[method].policy.scope == Scope::kServer;
  return Start(shared ? *table_->shared()->cache : parent.flight->cache(), parent.flight->self(),
               nullptr, &parent,
               {.caller = next_caller_,
                .cache = shared ? model_.shared() : parent.model->cache,
                .method = method,
                .key = key,
                .control = Control::kNone,
                .now = now_,
                .parent = parent.model,
                .session = -1});
}

int Twin::Start(MemoCache& cache, const std::shared_ptr<const Self>& self, const Session* session,
                const Computation* parent, Model::Call call) {
  const int id = next_caller_++;
  TwinCaller& caller = waiting_.try_emplace(id, id, heard_).first->second;
  const std::shared_ptr<Flight> parent_flight = parent == nullptr ? nullptr : parent->flight;
  bool starts = false;
  const MemoizedMethod& method = methods_[call.method];
  const auto result = cache.GetOrCompute({.method = method,
                                          .key = CacheKey(method.id, call.key),
                                          .control = call.control,
                                          .now = now_,
                                          .waiter = &caller,
                                          .self = self,
                                          .parent = parent_flight.get(),
                                          .session = session},
                                         [&](std::shared_ptr<Flight>) { starts = true; });
  if (const auto* outcome = std::get_if<Outcome>(&result)) caller.OnAnswer(*outcome);
  if (const auto* flight = std::get_if<std::shared_ptr<Flight>>(&result)) caller.flight = *flight;

  const Model::FlightPtr model = model_.Start(call);
  EXPECT_EQ(starts, model != nullptr);
  if (starts && model != nullptr) {
    computations_.push_back({id, caller.flight, model, parent_flight});
  }
  for (const Computation& c : computations_) {
    if (c.flight == caller.flight) caller.model = c.model;
  }
  ExpectSame();
  return id;
}

size_t Twin::Innermost(size_t computation) const {
  for (size_t i = computation + 1; i < computations_.size(); ++i) {
    if (computations_[i].parent == computations_[computation].flight) return Innermost(i);
  }
  return computation;
}

bool Twin::Begin(size_t computation) {
  Computation& c = computations_[computation];
  c.begun = true;
  const bool begun = c.flight->Begin(now_);
  EXPECT_EQ(begun, model_.Begin(*c.model, now_));
  return begun;
}

void Twin::Return(size_t computation) {
  computations_.erase(computations_.begin() + static_cast<ptrdiff_t>(computation));
  ExpectSame();
}

void Twin::Complete(size_t computation, const std::string& answer) {
  if (!computations_[computation].begun) Begin(computation);
  const Computation& c = computations_[computation];
  c.flight->Complete(Answer::Copy(c.flight->key(), answer), now_);
  model_.Complete(c.model, answer, now_);
  Return(computation);
}

void Twin::Fail(size_t computation, absl::StatusCode code) {
  const Computation& c = computations_[computation];
  c.flight->Complete(absl::Status(code, ""), now_);
  model_.Fail(c.model, code, now_);
  Return(computation);
}

void Twin::Abandon(size_t computation) {
  const Computation& c = computations_[computation];
  c.flight->Abandon(absl::DeadlineExceededError(""));
  model_.Abandon(c.model, "DEADLINE_EXCEEDED");
  ExpectSame();
}

void Twin::ExpectSameCancelled(size_t computation) {
  const Computation& c = computations_[computation];
  EXPECT_EQ(c.flight->cancelled(), model_.Cancelled(*c.model));
}

std::vector<int> Twin::waiting() const {
  std::vector<int> ids;
  for (const auto& waiting : waiting_) {
    const int id = waiting.first;
    // A nested caller is the computation around it, and cannot go away.
    const bool nested = waiting.second.flight->parent() != nullptr &&
                        std::any_of(computations_.begin(), computations_.end(),
                                    [&](const Computation& c) { return c.starter == id; });
    if (!nested) ids.push_back(id);
  }
  return ids;
}

void Twin::Leave(int caller) {
  const auto it = waiting_.find(caller);
  EXPECT_TRUE(it->second.flight->Leave(&it->second));
  EXPECT_FALSE(it->second.flight->Leave(&it->second));
  model_.Leave(it->second.model, caller);
  waiting_.erase(it);
  ExpectSame();
}

// Comparing

void Twin::ExpectSame() {
  Model::Log expected = model_.TakeLog();
  std::sort(expected.begin(), expected.end());
  std::sort(heard_.begin(), heard_.end());
  EXPECT_EQ(heard_, expected);
  for (const auto& [caller, heard] : std::exchange(heard_, {})) waiting_.erase(caller);
  EXPECT_EQ(context_.bytes.used(), model_.bytes());
  for (const MemoizedMethod& method : methods_) {
    EXPECT_EQ(method.bounds->total_entries.used(), model_.entries(static_cast<int>(method.id)));
  }
}

void Twin::ExpectSameInfos() {
  const SessionTable::Totals totals = table_->GetTotals();
  for (const MemoizedMethod& method : methods_) {
    const int m = static_cast<int>(method.id);
    const auto same = [&](const CacheInfo& real, const CacheInfo& expected) {
      EXPECT_EQ(real, expected) << method.name << ": " << Counts(real) << ", but of the model "
                                << Counts(expected);
    };
    same(totals.Info(method), model_.Total(m));
    same(table_->shared()->cache->Info(method), model_.Info(*model_.shared(), m));
    for (const auto& pair : sessions_) {
      same(pair->session->incarnation()->cache->Info(method), model_.Info(*pair->model.cache, m));
    }
  }
}

}  // namespace memod
