#include "memod/tests/cache/fixture.h"

#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "memod/cache/memo_error.h"

namespace memod {
namespace {

std::string_view Name(CacheStatus status) {
  switch (status) {
    case CacheStatus::kHit:
      return "hit ";
    case CacheStatus::kMiss:
      return "miss ";
    case CacheStatus::kCoalesced:
      return "coalesced ";
    case CacheStatus::kBypass:
      return "bypass ";
    case CacheStatus::kStale:
      return "stale ";
  }
  return "?";
}

std::string Word(const absl::Status& status) {
  const auto word = status.GetPayload({kMemoErrorPayload.data(), kMemoErrorPayload.size()});
  return word ? std::string(*word) : absl::StatusCodeToString(status.code());
}

}  // namespace

std::string Told(const Outcome& outcome) {
  const std::string status(Name(outcome.status));
  if (!outcome.answer.ok()) return status + Word(outcome.answer.status());
  return status + std::string((*outcome.answer)->bytes());
}

std::string Counts(const CacheInfo& info) {
  const Counters& c = info.counters;
  std::string text;
  const auto add = [&](const char* name, int64_t value) {
    if (value != 0) absl::StrAppend(&text, name, " ", value, ", ");
  };
  add("hits", c.hits);
  add("misses", c.misses);
  add("coalesced", c.coalesced);
  add("computations", c.computations);
  add("errors", c.errors);
  add("evictions", c.evictions);
  add("expirations", c.expirations);
  add("too_large", c.too_large);
  return absl::StrCat(text, "currsize ", info.currsize);
}

int64_t ChargeOf(std::string_view request, std::string_view answer) {
  return Answer::Copy(CacheKey(0, request), answer)->charge();
}

void Caller::OnAnswer(const Outcome& outcome) {
  // Being told twice shows in whatever a test expects.
  heard_ = (heard_ == "waits" ? "" : heard_ + ", then ") + Told(outcome);
  status_ = outcome.answer.status();
  age_ = outcome.age;
}

bool Caller::Leave() {
  if (!flight_->Leave(this)) return false;
  heard_ = "left";
  return true;
}

struct CacheTest::Instance {
  Instance(std::string state, std::atomic<int>& alive) : state(std::move(state)), alive(alive) {
    ++alive;
  }
  ~Instance() { --alive; }
  const std::string state;
  std::atomic<int>& alive;
};

CacheTest::CacheTest(std::optional<int64_t> max_bytes, const SessionTable::Limits& limits,
                     const CacheLimits& of_caches)
    : context_(max_bytes, of_caches) {
  table_.emplace(context_, limits,
                 [this](const Session& session, CloseReason reason, const Receipt& receipt) {
                   ++closed_;
                   if (on_close_) on_close_(session, reason, receipt);
                 });
}

void CacheTest::TearDown() {
  table_->CloseAll(CloseReason::kServerStopping);
  EXPECT_EQ(table_->size(), 0);
  table_.reset();
  for (const Caller& caller : callers_) EXPECT_NE(caller.heard(), "waits");
  callers_.clear();
  EXPECT_EQ(InstancesAlive(), 0);
  EXPECT_EQ(context_.instances, 0);
  EXPECT_EQ(context_.flights, 0);
  EXPECT_EQ(context_.bytes.used(), 0);
  for (const MemoizedMethod& method : methods_) EXPECT_EQ(method.bounds->total_entries.used(), 0);
}

const MemoizedMethod& CacheTest::Method(const Policy& policy) {
  const auto id = static_cast<uint32_t>(methods_.size());
  std::shared_ptr<CacheBounds> bounds;
  if (!policy.cache.empty()) {
    auto& named = named_[policy.cache];
    if (named == nullptr) named = std::make_shared<CacheBounds>(policy.cache, policy);
    bounds = named;
  }
  return methods_.emplace_back(id, absl::StrCat("/test.Service/Method", id), policy, bounds);
}

Origin CacheTest::MakeOrigin(std::string state, bool shared) {
  const auto key = shared ? std::make_shared<const SharedKey>("key " + state) : nullptr;
  if (shared) {
    if (auto origin = table_->FindShared(key)) return *origin;
  }
  const auto instance = std::make_shared<Instance>(std::move(state), alive_);
  return table_->MakeOrigin("test.State", {.instance = instance, .metadata = {}}, key);
}

CacheTest::SessionPtr CacheTest::Open(std::string state) {
  return Open(MakeOrigin(std::move(state), false));
}

CacheTest::SessionPtr CacheTest::OpenShared(std::string state) {
  return Open(MakeOrigin(std::move(state), true));
}

CacheTest::SessionPtr CacheTest::Open(Origin origin) {
  const auto session = table_->Open(std::move(origin), "peer", now_);
  EXPECT_TRUE(session.ok()) << session.status();
  return session.ok() ? *session : nullptr;
}

Receipt CacheTest::Close(const SessionPtr& session) {
  const auto receipt = table_->Close(session, CloseReason::kClosedByClient);
  EXPECT_TRUE(receipt.has_value());
  return receipt.value_or(Receipt{});
}

Receipt CacheTest::Update(const SessionPtr& session, std::string state) {
  const auto receipt = table_->Update(*session, MakeOrigin(std::move(state), false));
  EXPECT_TRUE(receipt.ok()) << receipt.status();
  return receipt.value_or(Receipt{});
}

Receipt CacheTest::UpdateShared(const SessionPtr& session, std::string state) {
  const auto receipt = table_->Update(*session, MakeOrigin(std::move(state), true));
  EXPECT_TRUE(receipt.ok()) << receipt.status();
  return receipt.value_or(Receipt{});
}

void CacheTest::Start(Caller& caller, MemoCache& cache, const MemoCache::Call& call) {
  const auto result = cache.GetOrCompute(call, [&](std::shared_ptr<Flight> flight) {
    caller.computes_ = true;
    if (begin_at_once_) flight->Begin(call.now);
  });
  if (const auto* outcome = std::get_if<Outcome>(&result)) caller.OnAnswer(*outcome);
  if (const auto* flight = std::get_if<std::shared_ptr<Flight>>(&result)) caller.flight_ = *flight;
  if (std::holds_alternative<MemoCache::Detached>(result)) caller.heard_ = "detached";
}

Caller& CacheTest::Call(const SessionPtr& session, const MemoizedMethod& method,
                        std::string_view request, Control control) {
  Caller& caller = callers_.emplace_back();
  const bool shared = method.policy.scope == Scope::kServer;
  const auto incarnation = shared ? table_->shared() : session->incarnation();
  now_ += Duration(1);  // no two uses at one time: LRU across caches goes by it
  if (incarnation == nullptr) {
    caller.OnAnswer({SessionNotFound()});
  } else {
    const CacheKey key(method.id, request);
    Start(caller, *incarnation->cache,
          {.method = method,
           .key = key,
           .control = control,
           .now = now_,
           .waiter = &caller,
           .self = incarnation->self,
           .session = shared ? nullptr : session.get()});
  }
  return caller;
}

Caller& CacheTest::CallNested(const Caller& parent, const MemoizedMethod& method,
                              std::string_view request) {
  Caller& caller = callers_.emplace_back();
  const bool shared = method.policy.scope == Scope::kServer;
  const Flight& flight = *parent.flight();
  now_ += Duration(1);
  Start(caller, shared ? *table_->shared()->cache : flight.cache(),
        {method, CacheKey(method.id, request), Control::kNone, now_, &caller,
         shared ? table_->shared()->self : flight.self(), &flight});
  return caller;
}

void CacheTest::Finish(Caller& caller, std::string_view answer) {
  ASSERT_TRUE(caller.computes());
  caller.flight()->Complete(Answer::Copy(caller.flight()->key(), answer), now_);
}

void CacheTest::Fail(Caller& caller, absl::StatusCode code) {
  ASSERT_TRUE(caller.computes());
  caller.flight()->Complete(absl::Status(code, "failed"), now_);
}

std::string CacheTest::Get(const SessionPtr& session, const MemoizedMethod& method,
                           std::string_view request, Control control) {
  Caller& caller = Call(session, method, request, control);
  if (caller.computes()) {
    Finish(caller, absl::StrCat("=", std::string(request)));
    caller.flight_ = nullptr;  // the call is over, and holds nothing any more
  }
  return caller.heard();
}

CacheInfo CacheTest::Info(const SessionPtr& session, const MemoizedMethod& method) const {
  const bool shared = method.policy.scope == Scope::kServer;
  return (shared ? table_->shared() : session->incarnation())->cache->Info(method);
}

std::string CacheTest::StateOf(const Caller& caller) {
  const auto& self = caller.flight()->self();
  return self == nullptr ? "no instance"
                         : static_cast<const Instance*>(self->instance.get())->state;
}

int CacheTest::InstancesAlive() {
  context_.reaper.Drain();
  return alive_;
}

}  // namespace memod
