#include "memod/cache/answer.h"

#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "gtest/gtest.h"

namespace memod {
namespace {

const CacheKey kKey(3, "key");

TEST(AnswerTest, CopyOwnsItsBytes) {
  std::string bytes("a\0b", 3);
  const Answer::Ref answer = Answer::Copy(kKey, bytes);
  bytes.assign("xyz");
  EXPECT_EQ(answer->bytes(), std::string_view("a\0b", 3));
}

TEST(AnswerTest, EmptyAnswerIsAnAnswer) {
  const Answer::Ref answer = Answer::Copy(kKey, "");
  EXPECT_TRUE(answer);
  EXPECT_EQ(answer->bytes(), "");
}

TEST(AnswerTest, MakeIsFilledByItsWriter) {
  const Answer::Ref answer = Answer::Make(kKey, 3, [](char* to) { std::memcpy(to, "abc", 3); });
  EXPECT_EQ(answer->bytes(), "abc");
}

TEST(AnswerTest, KeepsItsKey) {
  std::string bytes = "request";
  const CacheKey key(7, bytes);
  const Answer::Ref answer = Answer::Copy(key, "abc");
  EXPECT_EQ(answer->key(), key);
  EXPECT_EQ(answer->method(), 7u);
  bytes.assign("another");
  EXPECT_EQ(answer->key(), CacheKey(7, "request"));
}

TEST(AnswerTest, KeepsMetadataBesideTheMessage) {
  const Metadata metadata = {{"a", "1"}, {"b", ""}, {"a", std::string(300, 'x')}};
  for (const char* message : {"", "message"}) {
    const Answer::Ref answer = Answer::Copy(kKey, message, metadata);
    EXPECT_EQ(answer->bytes(), message);
    EXPECT_EQ(answer->metadata(), metadata);
  }
  EXPECT_EQ(Answer::Copy(kKey, "message")->metadata(), Metadata());
}

TEST(AnswerTest, KeepsAnErrorWhole) {
  absl::Status error = absl::NotFoundError("no such thing");
  error.SetPayload("type", absl::Cord("payload"));
  const Answer::Ref answer = Answer::OfError(kKey, error);
  EXPECT_EQ(answer->code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(answer->status(), error);
  EXPECT_EQ(answer->bytes(), "");
  EXPECT_EQ(answer->metadata(), Metadata());
  EXPECT_EQ(answer->key(), kKey);
}

TEST(AnswerTest, RefsShareTheBytes) {
  Answer::Ref first = Answer::Copy(kKey, "abc");
  const Answer::Ref second = first;
  const char* data = first->bytes().data();
  first = Answer::Ref();
  EXPECT_FALSE(first);
  EXPECT_EQ(second->bytes().data(), data);
  EXPECT_EQ(second->bytes(), "abc");
}

TEST(AnswerTest, MovedFromRefIsEmpty) {
  Answer::Ref first = Answer::Copy(kKey, "abc");
  const Answer::Ref second = std::move(first);
  EXPECT_FALSE(first);  // NOLINT: that is what is tested
  EXPECT_EQ(second->bytes(), "abc");
}

TEST(AnswerTest, AssigningARefToItselfKeepsIt) {
  Answer::Ref answer = Answer::Copy(kKey, "abc");
  const Answer::Ref& same = answer;
  answer = same;
  EXPECT_EQ(answer->bytes(), "abc");
}

// That each is freed exactly once is for the address sanitizer to say.
TEST(AnswerTest, WhatReleaseGivesAwayAdoptTakesBack) {
  Answer::Ref answer = Answer::Copy(kKey, "abc");
  const Answer* released = answer.Release();
  EXPECT_FALSE(answer);
  EXPECT_EQ(Answer::Ref::Adopt(released)->bytes(), "abc");
}

TEST(AnswerTest, IsSharedByThreads) {
  const Answer::Ref answer = Answer::Copy(kKey, "abc");
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
