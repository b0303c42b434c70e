// B019 warns about lru_cache on a method; here what must not be hosted does not compile, and the
// first thing that the compiler says is why.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

namespace memod {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

// What the compiler in `the parameter` makes of a program.
class CompileTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (GetParam() == std::string("clang++") && std::system("clang++ --version >/dev/null 2>&1")) {
      GTEST_SKIP() << "no clang++ here";
    }
  }

  // The first line with an error; "" if there is none. `members` are a class's, `registration`
  // registers it.
  static std::string FirstError(const std::string& members, const std::string& registration) {
    const std::string path = testing::TempDir() + "memod-" + std::to_string(getpid()) + ".cc";
    std::ofstream(path) << R"(#include <google/protobuf/empty.pb.h>
#include "memod/server/hosted_class.h"
using google::protobuf::Empty;
struct Hosted {
  static absl::StatusOr<std::unique_ptr<Hosted>> Create(const Empty&);
  absl::StatusOr<Empty> Good(const Empty&) const;
  )" << members << R"(
};
struct Stranger { absl::StatusOr<Empty> Method(const Empty&) const; };
absl::StatusOr<Empty> Free(const Empty&);
absl::StatusOr<std::unique_ptr<Hosted>> FromInt(int);
void Register(memod::Registry& registry) { )"
                        << registration << " }\n";
    const std::string command =
        std::string(GetParam()) + " -std=c++20 -fsyntax-only " MEMOD_INCLUDES " " + path + " 2>&1";
    FILE* pipe = popen(command.c_str(), "r");
    std::string first_error;
    char line[4096];
    while (fgets(line, sizeof(line), pipe) != nullptr) {
      if (first_error.empty() && std::string(line).find("error:") != std::string::npos) {
        first_error = line;
      }
    }
    const int result = pclose(pipe);
    remove(path.c_str());
    EXPECT_EQ(WEXITSTATUS(result) == 0, first_error.empty()) << command;
    return first_error;
  }
  static std::string FirstErrorOfMethod(const std::string& member) {
    return FirstError(member,
                      "registry.Class<&Hosted::Create>(\"s\").Method<&Hosted::Bad>(\"m\");");
  }
};

TEST_P(CompileTest, ConstMethodsAndFunctionsCompile) {
  EXPECT_THAT(
      FirstError("absl::StatusOr<Empty> WithContext(const Empty&, memod::CallContext&) const;"
                 "absl::StatusOr<Empty> Noexcept(const Empty&) const noexcept;",
                 "registry.Class<&Hosted::Create>(\"s\").Method<&Hosted::Good>(\"m\")"
                 ".Method<&Hosted::WithContext>(\"n\").Method<&Hosted::Noexcept>(\"o\")"
                 ".Function<&Free>(\"f\");"),
      IsEmpty());
}

TEST_P(CompileTest, B019MethodThatIsNotConstDoesNotCompile) {
  const std::string error = "memod: a hosted method must be const";
  EXPECT_THAT(FirstErrorOfMethod("absl::StatusOr<Empty> Bad(const Empty&);"), HasSubstr(error));
  EXPECT_THAT(FirstErrorOfMethod("absl::StatusOr<Empty> Bad(const Empty&, memod::CallContext&);"),
              HasSubstr(error));
}

TEST_P(CompileTest, OtherSignaturesDoNotCompile) {
  const std::string error = "memod: a hosted method is StatusOr<Reply> M(const Request&) const";
  EXPECT_THAT(FirstErrorOfMethod("Empty Bad(const Empty&) const;"), HasSubstr(error));
  EXPECT_THAT(FirstErrorOfMethod("absl::StatusOr<Empty> Bad(Empty) const;"), HasSubstr(error));
}

TEST_P(CompileTest, WhatIsNoMessageDoesNotCompile) {
  EXPECT_THAT(FirstErrorOfMethod("absl::StatusOr<int> Bad(const Empty&) const;"),
              HasSubstr("memod: request and reply of a hosted method are protobuf messages"));
}

TEST_P(CompileTest, MethodOfAnotherClassDoesNotCompile) {
  EXPECT_THAT(
      FirstError("", "registry.Class<&Hosted::Create>(\"s\").Method<&Stranger::Method>(\"m\");"),
      HasSubstr("memod: a hosted method belongs to the class that the factory makes"));
}

TEST_P(CompileTest, FunctionAsMethodAndMethodAsFunctionDoNotCompile) {
  EXPECT_THAT(FirstError("", "registry.Class<&Hosted::Create>(\"s\").Method<&Free>(\"m\");"),
              HasSubstr("memod: a function without an instance is registered with Function<>"));
  EXPECT_THAT(
      FirstError("", "registry.Class<&Hosted::Create>(\"s\").Function<&Hosted::Good>(\"m\");"),
      HasSubstr("memod: a hosted function is StatusOr<Reply> F(const Request&)"));
}

TEST_P(CompileTest, WhatIsNoFactoryDoesNotCompile) {
  EXPECT_THAT(FirstError("", "registry.Class<&FromInt>(\"s\");"),
              HasSubstr("memod: a factory is StatusOr<std::unique_ptr<T>> F(const State&)"));
}

INSTANTIATE_TEST_SUITE_P(Compilers, CompileTest, testing::Values("g++", "clang++"),
                         [](const auto& info) { return info.param[0] == 'g' ? "gcc" : "clang"; });

}  // namespace
}  // namespace memod
