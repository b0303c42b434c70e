// What it costs to make a key of what a request decodes to, beside its bytes as they are.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "memod/server/message_key.h"
#include "testing/key_probe.pb.h"

namespace memod {
namespace {

using memo::testing::v1::KeyPart;
using memo::testing::v1::KeyProbe;

// 31 bytes at 0 parts, 30 more with each.
std::string Request(int64_t parts) {
  KeyProbe probe;
  probe.set_number(12345);
  probe.set_text("a text");
  probe.mutable_part()->set_trace_id("0123456789ab");
  probe.mutable_part()->set_value(7);
  for (int64_t i = 0; i < parts; ++i) {
    KeyPart* part = probe.add_parts();
    part->set_value(static_cast<int>(i));
    part->set_trace_id(absl::StrCat("0123456789ab0123456789", i % 10));
  }
  return probe.SerializeAsString();
}

void BM_Bytes(benchmark::State& state) {
  const std::string request = Request(state.range(0));
  for (auto _ : state) {
    std::string key(request);
    benchmark::DoNotOptimize(key.data());
  }
  state.counters["bytes"] = static_cast<double>(request.size());
}
BENCHMARK(BM_Bytes)->Arg(0)->Arg(32)->Arg(1024);

void Keys(benchmark::State& state, const std::vector<std::string>& ignore) {
  const std::string request = Request(state.range(0));
  const absl::StatusOr<MessageKey> key = MessageKey::Make(*KeyProbe::descriptor(), ignore);
  for (auto _ : state) benchmark::DoNotOptimize(key->Of(request));
  state.counters["bytes"] = static_cast<double>(request.size());
}
void BM_Message(benchmark::State& state) { Keys(state, {}); }
BENCHMARK(BM_Message)->Arg(0)->Arg(32)->Arg(1024);
void BM_MessageIgnoring(benchmark::State& state) {
  Keys(state, {"part.trace_id", "parts.trace_id"});
}
BENCHMARK(BM_MessageIgnoring)->Arg(0)->Arg(32)->Arg(1024);

}  // namespace
}  // namespace memod
