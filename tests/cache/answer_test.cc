#include "memod/cache/answer.h"

#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace memod {
namespace {

TEST(AnswerTest, CopyOwnsItsBytes) {
  std::string bytes("a\0b", 3);
  const Answer::Ref answer = Answer::Copy(bytes);
  bytes.assign("xyz");
  EXPECT_EQ(answer->bytes(), std::string_view("a\0b", 3));
}

TEST(AnswerTest, EmptyAnswerIsAnAnswer) {
  const Answer::Ref answer = Answer::Copy("");
  EXPECT_TRUE(answer);
  EXPECT_EQ(answer->bytes(), "");
}

TEST(AnswerTest, MakeIsFilledByItsWriter) {
  const Answer::Ref answer = Answer::Make(3, [](char* to) { std::memcpy(to, "abc", 3); });
  EXPECT_EQ(answer->bytes(), "abc");
}

TEST(AnswerTest, ChargeGrowsByTheByte) {
  const int64_t header = Answer::Copy("")->charge();
  EXPECT_EQ(header, static_cast<int64_t>(sizeof(Answer)));
  EXPECT_EQ(Answer::Copy("abc")->charge(), header + 3);
}

TEST(AnswerTest, RefsShareTheBytes) {
  Answer::Ref first = Answer::Copy("abc");
  const Answer::Ref second = first;
  const char* data = first->bytes().data();
  first = Answer::Ref();
  EXPECT_FALSE(first);
  EXPECT_EQ(second->bytes().data(), data);
  EXPECT_EQ(second->bytes(), "abc");
}

TEST(AnswerTest, MovedFromRefIsEmpty) {
  Answer::Ref first = Answer::Copy("abc");
  const Answer::Ref second = std::move(first);
  EXPECT_FALSE(first);  // NOLINT: that is what is tested
  EXPECT_EQ(second->bytes(), "abc");
}

TEST(AnswerTest, AssigningARefToItselfKeepsIt) {
  Answer::Ref answer = Answer::Copy("abc");
  const Answer::Ref& same = answer;
  answer = same;
  EXPECT_EQ(answer->bytes(), "abc");
}

// That each is freed exactly once is for the address sanitizer to say.
TEST(AnswerTest, WhatReleaseGivesAwayAdoptTakesBack) {
  Answer::Ref answer = Answer::Copy("abc");
  const Answer* released = answer.Release();
  EXPECT_FALSE(answer);
  EXPECT_EQ(Answer::Ref::Adopt(released)->bytes(), "abc");
}

TEST(AnswerTest, IsSharedByThreads) {
  const Answer::Ref answer = Answer::Copy("abc");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([answer] {
      for (int j = 0; j < 10'000; ++j) {
        const Answer::Ref mine = answer;
        ASSERT_EQ(mine->bytes(), "abc");
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(answer->bytes(), "abc");
}

}  // namespace
}  // namespace memod
