// What people are told of keys, and of why they differ.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "memod/tests/server/message_key_fixture.h"

namespace memod {
namespace {

using memo::testing::v1::KeyProbe;
using Lines = std::vector<std::string>;

TEST(MessageKeyTextTest, TextIsWhatTheKeyHolds) {
  const std::string request = Encoded([](KeyProbe& p) {
    p.set_number(5);
    p.set_text("a\n\xc3\xa4");
    p.mutable_part()->set_trace_id("t");
    p.mutable_part()->set_value(1);
    (*p.mutable_labels())[2] = "b";
    (*p.mutable_labels())[1] = "a";
  });
  EXPECT_EQ(Key({"part.trace_id"}).Text(request + kHighNumber),
            R"(number: 5 text: "a\n\303\244" part { value: 1 } labels { key: 1 value: "a" } )"
            R"(labels { key: 2 value: "b" })");
  EXPECT_EQ(Key().Text(""), "(empty)");
  EXPECT_EQ(Key().Text("\xff\n"), R"(not a memo.testing.v1.KeyProbe: 2 bytes "\377\n")");
}

TEST(MessageKeyTextTest, LongTextIsCut) {
  const std::string text =
      Key().Text(Encoded([](KeyProbe& p) { p.set_text(std::string(10'000, 'x')); }));
  EXPECT_LT(text.size(), 4200u);
  EXPECT_TRUE(absl::EndsWith(text, "xxx... (10008 characters)")) << text.substr(4000);
  EXPECT_LT(Key().Text(std::string(10'000, '\xff')).size(), 500u);
}

TEST(MessageKeyTextTest, DifferencesNameFieldsAndBothValues) {
  KeyProbe a, b;
  a.set_number(2);
  b.set_number(3);
  b.set_choice(0);
  a.set_text("x");
  a.mutable_part()->mutable_inner()->set_value(1);
  b.mutable_part()->mutable_inner()->set_value(2);
  b.mutable_part()->add_inners();
  a.add_parts()->set_value(1);
  a.add_parts()->set_value(2);
  b.add_parts()->set_value(9);
  (*a.mutable_by_name())["both"].set_value(1);
  (*b.mutable_by_name())["both"].set_value(2);
  (*b.mutable_by_name())["new"].set_trace_id("t");
  (*a.mutable_labels())[-1] = "gone";
  a.set_name("n");
  b.set_id(7);
  EXPECT_EQ(
      Key().Differences(a.SerializeAsString(), b.SerializeAsString()),
      (Lines{"number: 2 vs 3", "choice: (absent) vs 0", "text: \"x\" vs \"\"",
             "part.inner.value: 1 vs 2", "part.inners[0]: (absent) vs {}", "parts[0].value: 1 vs 9",
             "parts[1]: { value: 2 } vs (absent)", "by_name[\"both\"].value: 1 vs 2",
             "by_name[\"new\"]: (absent) vs { trace_id: \"t\" }",
             "labels[-1]: \"gone\" vs (absent)", "name: \"n\" vs (absent)", "id: (absent) vs 7"}));
  EXPECT_EQ(Key({"part", "parts", "by_name", "labels", "name", "id", "text", "choice"})
                .Differences(a.SerializeAsString(), b.SerializeAsString()),
            Lines{"number: 2 vs 3"});
}

TEST(MessageKeyTextTest, DifferencesOfNaNsAreOfTheirBits) {
  uint32_t one = 0x7fc00000, other = 0x7fc00001;
  const auto share = [](uint32_t bits) {
    std::string request("\x35    ", 5);
    std::memcpy(request.data() + 1, &bits, sizeof(bits));
    return request;
  };
  EXPECT_EQ(Key().Differences(share(one), share(other)), Lines{"share: nan vs nan of other bits"});
}

TEST(MessageKeyTextTest, DifferencesAreNotTooMany) {
  const auto words = [](const std::string& word) {
    return Encoded([&](KeyProbe& p) {
      for (int i = 0; i < 100; ++i) p.add_words(word);
    });
  };
  const Lines lines = Key().Differences(words("a"), words("b"));
  ASSERT_EQ(lines.size(), 21u);
  EXPECT_EQ(lines[19], "words[19]: \"a\" vs \"b\"");
  EXPECT_EQ(lines[20], "and 80 more");
}

TEST(MessageKeyTextTest, LongValuesAreCutToWhereTheyDiffer) {
  const auto text = [](const std::string& end) {
    return Encoded([&](KeyProbe& p) { p.set_text(std::string(500, 'x') + end); });
  };
  EXPECT_EQ(Key().Differences(text("left"), text("right!")),
            Lines{"text: ...xxxxxxxxxxxxxxxxxxxxleft\" vs ...xxxxxxxxxxxxxxxxxxxxright!\""});
  EXPECT_EQ(Key().Differences(text(""), text("y")),
            Lines{"text: ...xxxxxxxxxxxxxxxxxxxx\" vs ...xxxxxxxxxxxxxxxxxxxxy\""});
  const Lines far = Key().Differences(text(std::string(500, 'y')), text(std::string(500, 'z')));
  ASSERT_EQ(far.size(), 1u);
  EXPECT_LT(far[0].size(), 200u);
}

TEST(MessageKeyTextTest, DifferencesTellOfWhatDoesNotDecode) {
  EXPECT_EQ(Key().Differences("\xff", Varint(1, 5)),
            Lines{R"(not a memo.testing.v1.KeyProbe: 1 bytes "\377" vs number: 5)"});
  EXPECT_EQ(Key().Differences("\xff", "\xfe"),
            Lines{R"(not a memo.testing.v1.KeyProbe: 1 bytes "\377" vs )"
                  R"(not a memo.testing.v1.KeyProbe: 1 bytes "\376")"});
  const std::string same(100, '\xff');
  const Lines late = Key().Differences(same + "a", same + "b");
  ASSERT_EQ(late.size(), 1u);
  EXPECT_TRUE(absl::EndsWith(late[0], "\\377b\"")) << late[0];
}

TEST(MessageKeyTextTest, LeftOutTellsOnlyWhatTheRequestHas) {
  const MessageKey key = Key({"part.trace_id", "by_name.value", "choice", "number"});
  EXPECT_EQ(key.LeftOut(""), Lines());
  EXPECT_EQ(key.LeftOut(Varint(1, 0) + Varint(2, 0)), Lines{"choice"})
      << "a 0 that is not optional";
  EXPECT_EQ(key.LeftOut(Bytes(11, Varint(1, 5))), Lines());
  EXPECT_EQ(
      key.LeftOut(Bytes(11, Bytes(2, "t")) + Bytes(13, Bytes(1, "a") + Bytes(2, Varint(1, 5)))),
      (Lines{"part.trace_id", "by_name.value"}));
  EXPECT_EQ(key.LeftOut(Bytes(11, kHighNumber)), Lines{"(unknown fields)"});
  EXPECT_EQ(Key().LeftOut(Varint(1, 5)), Lines());
}

}  // namespace
}  // namespace memod
