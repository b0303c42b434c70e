// The answers of a pipeline on their way out, read as its client reads them.
#include "memod/server/pipeline_answers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memod/cache/lru_cache.h"
#include "memod/cache/memo_error.h"

namespace memod {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr size_t kLarge = 300 << 10;  // four do not go into one message

Answer::Ref Made(std::string_view bytes, const Metadata& metadata = {}) {
  return Answer::Copy(CacheKey(0, "key"), bytes, metadata);
}

class PipelineAnswersTest : public testing::Test {
 protected:
  // Each answer of the next message: "7 cache=1 age=0 one", "8 NOT_FOUND gone"; none: there is none.
  std::vector<std::string> Next() {
    if (!answers.TakeMessage(message)) return {};
    std::vector<std::string> words;
    pipeline::ResponseReader reader(pipeline::InOnePiece(message, bytes));
    for (pipeline::Answer answer; reader.Read(answer) == pipeline::Next::kOne;) {
      std::string& said = words.emplace_back(absl::StrCat(answer.id, " cache=", answer.cache));
      if (answer.cache == 1) absl::StrAppend(&said, " age=", answer.age_seconds);
      if (answer.failed) absl::StrAppend(&said, " error ", answer.error.code);
      for (const std::string_view text :
           {answer.error.memo_error, answer.error.message, answer.response}) {
        if (text.size() >= kLarge) absl::StrAppend(&said, " large");
        if (text.size() < kLarge && !text.empty()) absl::StrAppend(&said, " ", std::string(text));
      }
      for (const auto& [name, value] : pipeline::MetadataOf(answer)) {
        absl::StrAppend(&said, " ", name, "=", value);
      }
    }
    return words;
  }

  PipelineAnswers answers;
  grpc::ByteBuffer message;
  grpc::Slice bytes;
};

TEST_F(PipelineAnswersTest, AreOneMessageInTheirOrder) {
  answers.Add(7, {Made("one"), CacheStatus::kMiss});
  answers.Add(9, {Made("two", {{"x-a", "b"}}), CacheStatus::kHit, std::chrono::seconds(3)});
  EXPECT_THAT(Next(), ElementsAre("7 cache=2 one", "9 cache=1 age=3 two x-a=b"));
  EXPECT_THAT(Next(), IsEmpty());
}

TEST_F(PipelineAnswersTest, ErrorSaysWhetherItIsFromMemoryAndIsUtf8) {
  answers.Add(1, {MemoError(absl::StatusCode::kNotFound, memo_error::kNotCached, "gone"),
                  CacheStatus::kMiss});
  answers.Add(2, {absl::NotFoundError("\xff"), CacheStatus::kHit, std::chrono::seconds(3)});
  EXPECT_THAT(Next(),
              ElementsAre("1 cache=0 error 5 NOT_CACHED gone", "2 cache=1 age=3 error 5 \\xff"));
}

TEST_F(PipelineAnswersTest, HitsFollowWhatIsThereThoseThatAreCopiedFirst) {
  // Where answers are shared they are of a cache.
  LruCache cache(std::nullopt);
  LruCache::Removed removed;
  const Answer::Ref with_metadata = Answer::Copy(CacheKey(0, "2"), "two", {{"x-a", "b"}});
  const Answer::Ref plain = Answer::Copy(CacheKey(0, "3"), "three");
  const Answer::Ref error = Answer::OfError(CacheKey(0, "4"), absl::NotFoundError("none"));
  for (const Answer::Ref& answer : {with_metadata, plain, error}) {
    cache.Insert(answer, Time(), 0, removed);
  }
  answers.Add(1, {Made("one"), CacheStatus::kMiss});
  PipelineAnswers::Hits hits;
  hits.Add(2, {*with_metadata, std::chrono::seconds(4)});
  hits.Add(3, {*plain, std::chrono::seconds(5)});
  hits.Add(4, {*error, std::chrono::seconds(6)});
  answers.Add(hits);
  answers.Add(hits);  // took them
  EXPECT_THAT(Next(), ElementsAre("1 cache=2 one", "3 cache=1 age=5 three",
                                  "2 cache=1 age=4 two x-a=b", "4 cache=1 age=6 error 5 none"));
}

TEST_F(PipelineAnswersTest, FullMessageIsFollowedByAnother) {
  const Answer::Ref large = Made(std::string(kLarge, 'x'));
  for (uint64_t id = 1; id <= 4; ++id) answers.Add(id, {large, CacheStatus::kMiss});
  answers.Add(5, {Made("small"), CacheStatus::kMiss});
  EXPECT_THAT(Next(), ElementsAre("1 cache=2 large", "2 cache=2 large", "3 cache=2 large"));
  EXPECT_THAT(Next(), ElementsAre("4 cache=2 large", "5 cache=2 small"));
  EXPECT_THAT(Next(), IsEmpty());
}

TEST_F(PipelineAnswersTest, LargeResponseIsSentAsItIsStored) {
  const Answer::Ref large = Made(std::string(kLarge, 'x'));
  answers.Add(1, {large, CacheStatus::kMiss});
  ASSERT_TRUE(answers.TakeMessage(message));
  std::vector<grpc::Slice> slices;
  ASSERT_TRUE(message.Dump(&slices).ok());
  const auto* stored = reinterpret_cast<const uint8_t*>(large->bytes().data());
  EXPECT_EQ(slices.back().begin(), stored);
}

TEST_F(PipelineAnswersTest, AreUnsentUntilTheirMessageIsWritten) {
  const Answer::Ref large = Made(std::string(kLarge, 'x'));
  for (uint64_t id = 1; id <= 4; ++id) answers.Add(id, {large, CacheStatus::kMiss});
  const int64_t all = answers.unsent_bytes();
  EXPECT_GT(all, 4 * int64_t{kLarge});
  ASSERT_TRUE(answers.TakeMessage(message));
  EXPECT_EQ(answers.unsent_bytes(), all);
  answers.Wrote(message);
  EXPECT_EQ(answers.unsent_bytes(), all - static_cast<int64_t>(message.Length()));
  ASSERT_TRUE(answers.TakeMessage(message));
  answers.Wrote(message);
  EXPECT_EQ(answers.unsent_bytes(), 0);
}

}  // namespace
}  // namespace memod
