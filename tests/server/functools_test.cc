// The model itself: functools.lru_cache on a function, run beside a function without an instance on
// the same calls. (Of a session's method: tests/process/functools_over_grpc_test.py.)
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memod/tests/testing/scale.h"
#include "memod/tests/testing/server_test.h"

namespace memod {
namespace {

constexpr int kKeys = 60;
constexpr int kFailingKeys = 5;

// Small numbers more often than large ones, so that there is something to hit at any maxsize.
std::vector<std::string> Trace(int length, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::string> keys;
  for (int i = 0; i < length; ++i) {
    const unsigned number = std::min(random() % kKeys, random() % kKeys);
    const bool fails = random() % 20 == 0;
    keys.push_back(fails ? absl::StrCat("!", number % kFailingKeys) : absl::StrCat(number));
  }
  return keys;
}

std::string Output(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  std::string output;
  for (int c = fgetc(pipe); c != EOF; c = fgetc(pipe)) output += static_cast<char>(c);
  EXPECT_EQ(pclose(pipe), 0) << command;
  return output;
}

std::string AskFunctools(const std::string& maxsize, const std::vector<std::string>& trace) {
  const std::string path = absl::StrCat(testing::TempDir(), "memod-trace-", getpid());
  {
    std::ofstream file(path);
    for (const std::string& key : trace) file << key << "\n";
  }
  const std::string output = Output(absl::StrCat(
      MEMOD_PYTHON, " ", MEMOD_TESTS, "/server/functools_trace.py ", maxsize, " ", path));
  std::remove(path.c_str());
  return output;
}

class FunctoolsTest : public ServerTest, public testing::WithParamInterface<std::string> {
 protected:
  // The same of memod.
  std::string AskMemod(const std::vector<std::string>& trace) {
    std::string marks;
    for (const std::string& key : trace) {
      const int before = lab.computed(key);
      Ask(std::nullopt, Request(key), {.method = kShared});
      absl::StrAppend(&marks, lab.computed(key) - before);
    }
    return marks;
  }
  static std::string Words(const memo::v1::CacheInfo& info) {
    return absl::StrCat("hits ", info.hits(), " misses ", info.misses(), " maxsize ",
                        info.has_maxsize() ? absl::StrCat(info.maxsize()) : "None", " currsize ",
                        info.currsize());
  }
  void SetUp() override {
    for (int i = 0; i < kFailingKeys; ++i) {
      lab.On(absl::StrCat("!", i), [](Computing&) { return absl::InternalError("no"); });
    }
    ProbePolicies policies;
    std::optional<int64_t> bound;
    if (GetParam() != "None") bound = std::stoi(GetParam());
    policies.shared.max_entries = bound;
    Serve({.probe = policies});
  }
};

TEST_P(FunctoolsTest, LruCacheOnAFunctionRecomputesAndCountsTheSameOnAnyTrace) {
  const auto trace = Trace(Scaled(2'000), 1);
  const std::string marks = AskMemod(trace);
  EXPECT_EQ(absl::StrCat(marks, "\n", Words(AdminInfo("", kShared).total()), "\n"),
            AskFunctools(GetParam(), trace));
}

INSTANTIATE_TEST_SUITE_P(Maxsize, FunctoolsTest,
                         testing::Values("-1", "0", "1", "7", "40", "128", "None"),
                         [](const auto& info) {
                           return info.param == "-1" ? "negative" : info.param;
                         });

}  // namespace
}  // namespace memod
