// Fields that are left out of a key, and paths that lead to none.
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "memod/tests/server/message_key_fixture.h"

namespace memod {
namespace {

using memo::testing::v1::KeyNothing;
using memo::testing::v1::KeyPart;
using memo::testing::v1::KeyProbe;
using Lines = std::vector<std::string>;

TEST(MessageKeyPathsTest, PathGoesThroughMessages) {
  const auto trace = [](const std::string& id, int value) {
    return Encoded([&](KeyProbe& p) {
      p.mutable_part()->mutable_inner()->set_trace_id(id);
      p.mutable_part()->mutable_inner()->set_value(value);
    });
  };
  const MessageKey key = Key({"part.inner.trace_id"});
  EXPECT_TRUE(Same(key, trace("a", 1), trace("b", 1)));
  EXPECT_TRUE(Same(key, trace("a", 1), trace("", 1)));
  EXPECT_FALSE(Same(key, trace("a", 1), trace("a", 2)));
  EXPECT_FALSE(Same(key, Encoded([](KeyProbe& p) { p.mutable_part()->set_trace_id("a"); }),
                    Encoded([](KeyProbe& p) { p.mutable_part()->set_trace_id("b"); })))
      << "the same name elsewhere stays";
}

TEST(MessageKeyPathsTest, MessageStaysWhenAFieldInItGoes) {
  const MessageKey key = Key({"part.inner.trace_id"});
  EXPECT_FALSE(Same(key, Encoded([](KeyProbe& p) { p.mutable_part()->mutable_inner(); }),
                    Encoded([](KeyProbe& p) { p.mutable_part(); })))
      << "has_inner() is a difference";
}

TEST(MessageKeyPathsTest, PathGoesThroughEveryElement) {
  const auto parts = [](const std::string& first, const std::string& second, int value) {
    return Encoded([&](KeyProbe& p) {
      p.add_parts()->add_inners()->set_trace_id(first);
      p.mutable_parts(0)->add_inners()->set_value(value);
      p.add_parts()->add_inners()->set_trace_id(second);
    });
  };
  const MessageKey key = Key({"parts.inners.trace_id"});
  EXPECT_TRUE(Same(key, parts("a", "b", 1), parts("c", "", 1)));
  EXPECT_FALSE(Same(key, parts("a", "b", 1), parts("a", "b", 2)));
}

TEST(MessageKeyPathsTest, PathGoesThroughEveryValueOfAMap) {
  const auto by_name = [](const std::string& key, const std::string& trace, int value) {
    return Encoded([&](KeyProbe& p) {
      KeyPart& inner = (*(*p.mutable_by_name())["outer"].mutable_by_name())[key];
      inner.set_trace_id(trace);
      inner.set_value(value);
    });
  };
  const MessageKey key = Key({"by_name.by_name.trace_id"});
  EXPECT_TRUE(Same(key, by_name("k", "a", 1), by_name("k", "b", 1)));
  EXPECT_FALSE(Same(key, by_name("k", "a", 1), by_name("k", "a", 2)));
  EXPECT_FALSE(Same(key, by_name("k", "a", 1), by_name("l", "a", 1)));
}

TEST(MessageKeyPathsTest, PathEndsAtAnyField) {
  KeyProbe all;
  all.set_number(1);
  all.set_choice(2);
  all.set_ratio(0.5);
  all.mutable_part()->set_value(3);
  all.add_parts()->set_value(4);
  (*all.mutable_by_name())["a"].set_value(5);
  (*all.mutable_labels())[1] = "b";
  all.add_packed(6);
  all.set_name("n");
  const std::vector<std::string> paths = {"number",  "choice", "ratio",  "part", "parts",
                                          "by_name", "labels", "packed", "name"};
  EXPECT_TRUE(Same(Key(paths), all, KeyProbe()));
  EXPECT_EQ(Key(paths).LeftOut(all.SerializeAsString()), paths);
  for (const std::string& path : paths) {
    EXPECT_FALSE(Same(Key({path}), all, KeyProbe())) << path;
    KeyProbe without = all;
    const auto* field = KeyProbe::descriptor()->FindFieldByName(path);
    without.GetReflection()->ClearField(&without, field);
    EXPECT_TRUE(Same(Key({path}), all, without)) << path;
    EXPECT_FALSE(Same(Key(), all, without)) << path;
  }
}

TEST(MessageKeyPathsTest, MemberOfAOneofThatIsLeftOutLeavesTheOthers) {
  const MessageKey key = Key({"name", "whole.trace_id"});
  const std::string name = Encoded([](KeyProbe& p) { p.set_name("n"); });
  const std::string id = Encoded([](KeyProbe& p) { p.set_id(5); });
  const std::string whole = Encoded([](KeyProbe& p) { p.mutable_whole()->set_trace_id("t"); });
  EXPECT_TRUE(Same(key, name, ""));
  EXPECT_FALSE(Same(key, id, ""));
  EXPECT_FALSE(Same(key, whole, "")) << "which member is set stays";
  EXPECT_TRUE(Same(key, whole, Encoded([](KeyProbe& p) { p.mutable_whole(); })));
}

TEST(MessageKeyPathsTest, UnknownFieldsBesideALeftOutOneDoNotCount) {
  const auto entry = [](const std::string& value) {
    return Bytes(13, Bytes(1, "k") + Bytes(2, value));
  };
  EXPECT_TRUE(Same(Key({"by_name.trace_id"}), entry(Bytes(2, "t") + kHighNumber), entry("")));
  EXPECT_TRUE(Same(Key({"by_name.inners.trace_id"}), entry(Bytes(4, Bytes(2, "t") + kHighNumber)),
                   entry(Bytes(4, ""))));
}

TEST(MessageKeyPathsTest, MapFieldThatIsClearedWithinKeepsItsOrderOut) {
  KeyProbe one, other;
  for (int i = 0; i < 100; ++i) {
    KeyPart& first = (*one.mutable_by_name())[absl::StrCat(i)];
    KeyPart& second = (*other.mutable_by_name())[absl::StrCat(99 - i)];
    first.set_trace_id("a");
    second.set_trace_id(absl::StrCat(i));
  }
  EXPECT_TRUE(Same(Key({"by_name.trace_id"}), one, other));
}

// --- paths that lead nowhere ---

std::string Fault(const std::vector<std::string>& ignore) {
  const absl::Status status = MessageKey::Make(*KeyProbe::descriptor(), ignore).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return std::string(status.message().data(), status.message().size());
}

TEST(MessageKeyPathsTest, PathToNoFieldTellsTheNearest) {
  EXPECT_EQ(Fault({"numbr"}),
            "\"numbr\": memo.testing.v1.KeyProbe has no field \"numbr\"; did you mean number?");
  EXPECT_EQ(Fault({"parts.inner.trace"}),
            "\"parts.inner.trace\": memo.testing.v1.KeyPart has no field \"trace\"; want one of "
            "value, trace_id, inner, inners, by_name");
  EXPECT_EQ(Fault({"by_name.value.x"}),
            "\"by_name.value.x\": memo.testing.v1.KeyPart.value is of type int32, which has no "
            "fields");
  EXPECT_EQ(Fault({"by_name.key"}).find("\"by_name.key\": memo.testing.v1.KeyPart has no field"),
            0u);
  EXPECT_EQ(Fault({"text.x"}),
            "\"text.x\": memo.testing.v1.KeyProbe.text is of type string, which has no fields");
  EXPECT_EQ(Fault({"labels.value"}),
            "\"labels.value\": memo.testing.v1.KeyProbe.labels is of type map, which has no "
            "fields");
  EXPECT_EQ(Fault({"any.number"}),
            "\"any.number\": google.protobuf.Any has no field \"number\"; want one of type_url, "
            "value");
  EXPECT_EQ(Fault({"", "a..b"}).find("\"\": memo.testing.v1.KeyProbe has no field \"\"; want one "),
            0u);
  const absl::Status none = MessageKey::Make(*KeyNothing::descriptor(), {"a"}).status();
  EXPECT_EQ(none.message(), "\"a\": memo.testing.v1.KeyNothing has no field \"a\", nor any other");
}

TEST(MessageKeyPathsTest, PathsDoNotOverlap) {
  EXPECT_EQ(Fault({"number", "text", "number"}), "\"number\": got it twice; want each once");
  EXPECT_EQ(Fault({"part.inner.value", "part"}),
            "\"part.inner.value\": is within \"part\", which is ignored already; want one of them");
  Key({"part.inner", "part.inners", "parts"});  // names that only begin the same
}

TEST(MessageKeyPathsTest, AllFaultsAreTold) {
  EXPECT_EQ(Fault({"numbr", "text", "text.x"}),
            "\"numbr\": memo.testing.v1.KeyProbe has no field \"numbr\"; did you mean number?\n"
            "\"text.x\": memo.testing.v1.KeyProbe.text is of type string, which has no fields\n"
            "\"text.x\": is within \"text\", which is ignored already; want one of them");
}

TEST(MessageKeyPathsTest, TypeThatIsNotCompiledInNeedsAFactory) {
  google::protobuf::FileDescriptorProto file;
  KeyProbe::descriptor()->file()->CopyTo(&file);
  google::protobuf::DescriptorPool pool(google::protobuf::DescriptorPool::generated_pool());
  file.set_name("elsewhere.proto");
  file.set_package("elsewhere");
  for (auto& message : *file.mutable_message_type()) {
    for (auto& field : *message.mutable_field()) {
      if (absl::StartsWith(field.type_name(), ".memo.testing.v1.")) {
        field.set_type_name(".elsewhere." + field.type_name().substr(17));
      }
    }
    for (auto& nested : *message.mutable_nested_type()) {
      auto& value = *nested.mutable_field(1);
      if (value.has_type_name()) value.set_type_name(".elsewhere.KeyPart");
    }
  }
  ASSERT_NE(pool.BuildFile(file), nullptr);
  const auto& type = *pool.FindMessageTypeByName("elsewhere.KeyProbe");
  EXPECT_EQ(MessageKey::Make(type, {}).status().message(), "elsewhere.KeyProbe is not compiled in");

  google::protobuf::DynamicMessageFactory factory;
  const absl::StatusOr<MessageKey> key =
      MessageKey::Make(type, {"by_name.trace_id", "parts.value"}, &factory);
  ASSERT_TRUE(key.ok()) << key.status();
  const auto entry = [](const std::string& name, const std::string& trace) {
    return Bytes(13, Bytes(1, name) + Bytes(2, Bytes(2, trace)));
  };
  EXPECT_TRUE(Same(*key, entry("a", "x") + entry("b", "y") + Varint(1, 5),
                   Varint(1, 5) + entry("b", "z") + entry("a", "")));
  EXPECT_FALSE(Same(*key, entry("a", "x"), entry("b", "x")));
  EXPECT_FALSE(Same(*key, Varint(1, 5), Varint(1, 6)));
  EXPECT_FALSE(Same(*key, Varint(1, 5), Varint(1, 5) + kHighNumber))
      << "the field may be known where the request goes";
  EXPECT_EQ(key->Differences(Varint(1, 5), kHighNumber + Varint(1, 5)),
            Lines{"unknown fields differ"});
  EXPECT_EQ(key->LeftOut(entry("a", "x") + kHighNumber), Lines{"by_name.trace_id"});

  const std::string twice = Bytes(14, Varint(1, 7) + Bytes(2, "a")) + Bytes(14, Varint(1, 7));
  EXPECT_FALSE(Same(*key, twice, Bytes(14, Varint(1, 7)))) << "only a miss";
  EXPECT_EQ(key->Of(Bytes(12, Bytes(5, Bytes(1, "k")) + Bytes(5, Bytes(1, "k")))).front(), 'b');
  EXPECT_EQ(key->Of(Bytes(12, Bytes(5, Bytes(1, "k")) + Bytes(5, Bytes(1, "l")))).front(), 'm');
}

}  // namespace
}  // namespace memod
