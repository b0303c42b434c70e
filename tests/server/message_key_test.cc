// Which requests have one key.
#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "memod/tests/server/message_key_fixture.h"
#include "testing/key_probe_proto2.pb.h"

namespace memod {
namespace {

using memo::testing::v1::KeyPart;
using memo::testing::v1::KeyProbe;
using memo::testing::v1::KeyProbeOfTomorrow;
using memo::testing::v1::OldProbe;
using memo::testing::v1::OldProbeOfTomorrow;
using Lines = std::vector<std::string>;

// --- equal messages in different bytes ---

TEST(MessageKeyTest, OrderOfFieldsDoesNotCount) {
  EXPECT_TRUE(Same(Key(), Varint(1, 5) + Bytes(3, "a"), Bytes(3, "a") + Varint(1, 5)));
  EXPECT_FALSE(Same(Key(), Varint(1, 5) + Bytes(3, "a"), Varint(1, 6) + Bytes(3, "a")));
}

TEST(MessageKeyTest, OrderOfAMapDoesNotCount) {
  const auto entry = [](const std::string& key) { return Bytes(13, Bytes(1, key)); };
  EXPECT_TRUE(
      Same(Key(), entry("a") + entry("b") + entry("c"), entry("c") + entry("a") + entry("b")));
  EXPECT_FALSE(Same(Key(), entry("a") + entry("b"), entry("a") + entry("c")));
  KeyProbe one, other;
  for (int i = 0; i < 500; ++i) {
    (*one.mutable_labels())[i] = "x";
    (*other.mutable_labels())[499 - i] = "x";
  }
  EXPECT_TRUE(Same(Key(), one, other));
}

TEST(MessageKeyTest, LastEntryOfAMapCounts) {
  const auto label = [](const std::string& text) {
    return Bytes(14, Varint(1, 7) + Bytes(2, text));
  };
  EXPECT_TRUE(Same(Key(), label("a") + label("b"), label("b")));
  EXPECT_FALSE(Same(Key(), label("a") + label("b"), label("b") + label("a")));
}

TEST(MessageKeyTest, OrderOfARepeatedFieldCounts) {
  EXPECT_FALSE(Same(Key(), Bytes(12, Varint(1, 1)) + Bytes(12, Varint(1, 2)),
                    Bytes(12, Varint(1, 2)) + Bytes(12, Varint(1, 1))));
}

TEST(MessageKeyTest, DefaultOnTheWireIsAbsent) {
  for (const std::string& zero :
       {Varint(1, 0), Bytes(3, ""), Bytes(4, ""), Varint(7, 0), Varint(8, 0), Varint(9, 0),
        std::string("\x29\0\0\0\0\0\0\0\0", 9), std::string("\x35\0\0\0\0", 5),
        std::string("\x55\0\0\0\0", 5)}) {
    EXPECT_TRUE(Same(Key(), zero, ""));
  }
  EXPECT_TRUE(Same(Key(), Varint(1, 5) + Varint(1, 0), "")) << "the last one counts";
}

TEST(MessageKeyTest, OptionalThatIsSetIsNotAbsent) {
  EXPECT_FALSE(Same(Key(), Varint(2, 0), ""));
  EXPECT_FALSE(Same(Key(), Bytes(11, ""), "")) << "nor is an empty message";
  EXPECT_FALSE(Same(Key(), Bytes(12, ""), ""));
  EXPECT_TRUE(Same(Key(), Bytes(13, Bytes(1, "a") + Bytes(2, "")), Bytes(13, Bytes(1, "a"))))
      << "but a map's value is always there";
}

TEST(MessageKeyTest, PackedOrNotDoesNotCount) {
  const std::string packed = Bytes(15, "\x01\x02\x03");
  EXPECT_TRUE(Same(Key(), packed, Varint(15, 1) + Varint(15, 2) + Varint(15, 3)));
  EXPECT_TRUE(Same(Key(), packed, Varint(15, 1) + Bytes(15, "\x02\x03")));
  EXPECT_FALSE(Same(Key(), packed, Bytes(15, "\x01\x02")));
  KeyProbe unpacked;
  unpacked.add_unpacked(1);
  unpacked.add_unpacked(2);
  EXPECT_TRUE(Same(Key(), std::string("\x82\x01\x02\x01\x02", 5), unpacked.SerializeAsString()));
}

TEST(MessageKeyTest, NumberInMoreBytesThanItNeedsIsTheSame) {
  EXPECT_TRUE(Same(Key(), std::string("\x08\x85\x80\x00", 4), Varint(1, 5)));
}

TEST(MessageKeyTest, MessageInPiecesIsMerged) {
  EXPECT_TRUE(Same(Key(), Bytes(11, Varint(1, 5)) + Bytes(11, Bytes(2, "t")),
                   Bytes(11, Varint(1, 5) + Bytes(2, "t"))));
  EXPECT_TRUE(
      Same(Key(), Bytes(11, Varint(1, 5)) + Bytes(11, Varint(1, 6)), Bytes(11, Varint(1, 6))));
}

TEST(MessageKeyTest, LastMemberOfAOneofCounts) {
  const std::string name = Encoded([](KeyProbe& p) { p.set_name("n"); });
  const std::string id = Encoded([](KeyProbe& p) { p.set_id(0); });
  EXPECT_TRUE(Same(Key(), name + id, id));
  EXPECT_FALSE(Same(Key(), name, id));
  EXPECT_FALSE(Same(Key(), id, ""));
}

TEST(MessageKeyTest, UnknownFieldsDoNotCount) {
  EXPECT_TRUE(Same(Key(), Varint(1, 5) + kHighNumber, Varint(1, 5)));
  KeyProbeOfTomorrow tomorrow;
  tomorrow.set_number(5);
  tomorrow.mutable_part()->set_value(6);
  KeyProbe today;
  ASSERT_TRUE(today.ParseFromString(tomorrow.SerializeAsString()));
  tomorrow.set_news("a");
  tomorrow.mutable_part()->set_news("b");
  EXPECT_TRUE(Same(Key(), tomorrow, today)) << "at any depth";
  EXPECT_TRUE(
      Same(Key(), Bytes(13, Bytes(1, "k") + Bytes(2, kHighNumber)), Bytes(13, Bytes(1, "k"))))
      << "in a map's values";
  EXPECT_TRUE(Same(Key(), Bytes(12, kHighNumber), Bytes(12, "")));
  EXPECT_TRUE(Same(Key(), Bytes(1, "x"), "")) << "a known number of another wire type";
}

TEST(MessageKeyTest, NumbersAreTheSameBitByBit) {
  const auto ratio = [](double value) { return Encoded([&](KeyProbe& p) { p.set_ratio(value); }); };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  double other_nan = nan;
  uint64_t bits = 0;
  std::memcpy(&bits, &other_nan, sizeof(bits));
  bits |= 1;
  std::memcpy(&other_nan, &bits, sizeof(bits));
  EXPECT_TRUE(Same(Key(), ratio(nan), ratio(nan)));
  EXPECT_FALSE(Same(Key(), ratio(nan), ratio(other_nan)));
  EXPECT_FALSE(Same(Key(), ratio(0.0), ratio(-0.0)));
  EXPECT_FALSE(Same(Key(), ratio(0.1), ratio(std::nextafter(0.1, 1))));
  const auto share = [](float value) { return Encoded([&](KeyProbe& p) { p.set_share(value); }); };
  EXPECT_FALSE(Same(Key(), share(0.0f), share(-0.0f)));
  EXPECT_TRUE(Same(Key(), share(std::nanf("")), share(std::nanf(""))));
}

TEST(MessageKeyTest, ValueThatAnOpenEnumHasNotCounts) {
  EXPECT_FALSE(Same(Key(), Varint(8, 17), Varint(8, 18)));
}

TEST(MessageKeyTest, AnyIsNotLookedInto) {
  const auto packed = [](const std::string& value) {
    return Encoded([&](KeyProbe& p) {
      p.mutable_any()->set_type_url("type.googleapis.com/memo.testing.v1.KeyProbe");
      p.mutable_any()->set_value(value);
    });
  };
  EXPECT_FALSE(
      Same(Key(), packed(Varint(1, 5) + Bytes(3, "a")), packed(Bytes(3, "a") + Varint(1, 5))));
  EXPECT_TRUE(Same(Key({"any.value"}), packed("a"), packed("b")));
}

// --- what is no message ---

TEST(MessageKeyTest, WhatDoesNotDecodeIsItsOwnKey) {
  const google::protobuf::LogSilencer silence;
  const std::string nested = Encoded([](KeyProbe& p) {
    KeyPart* part = p.mutable_part();
    for (int i = 0; i < 200; ++i) part = part->mutable_inner();
  });
  const std::vector<std::string> bad = {
      std::string("\x08", 1),                              // a number without its value
      Bytes(3, "abc").substr(0, 4), Bytes(3, "\xff\xfe"),  // not UTF-8
      std::string("\x0c", 1),                              // the end of a group
      std::string(1, '\0'),                                // field 0
      std::string(11, '\xff'),      nested,
  };
  for (const std::string& one : bad) {
    SCOPED_TRACE(Key().Text(one));
    EXPECT_FALSE(KeyProbe().ParsePartialFromString(one));
    for (const std::string& other : bad) EXPECT_EQ(Same(Key(), one, other), one == other);
    EXPECT_FALSE(Same(Key(), one, ""));
    EXPECT_FALSE(Same(Key(), one, Key().Of(one))) << "nor the key itself as a request";
    EXPECT_NE(Key().Of(one), Key().Of(Bytes(4, one.substr(0, 100))));
    EXPECT_EQ(Key({"number"}).LeftOut(one), Lines());
  }
}

// --- proto2 ---

TEST(MessageKeyTest, RequiredFieldsMayBeMissing) {
  const MessageKey key = Key<OldProbe>();
  EXPECT_FALSE(Same(key, Varint(1, 0), "")) << "absent is not zero";
  EXPECT_FALSE(Same(key, Varint(2, 7), "")) << "nor the default";
  EXPECT_TRUE(Same(key, Varint(2, 1) + Varint(1, 0), Varint(1, 0) + Varint(2, 1)));
}

TEST(MessageKeyTest, ValueThatAClosedEnumHasNotIsAnUnknownField) {
  OldProbeOfTomorrow huge, none;
  huge.set_size(memo::testing::v1::SOT_HUGE);
  EXPECT_TRUE(Same(Key<OldProbe>(), huge, none));
  // What a method sees of it: nothing.
  OldProbe seen;
  ASSERT_TRUE(seen.ParsePartialFromString(huge.SerializeAsString()));
  EXPECT_FALSE(seen.has_size());
  EXPECT_FALSE(seen.unknown_fields().empty()) << "but by reflection";
  seen.DiscardUnknownFields();
  EXPECT_EQ(seen.SerializePartialAsString(), "");

  OldProbeOfTomorrow small, larger;
  small.add_sizes(memo::testing::v1::SOT_SMALL);
  larger = small;
  larger.add_sizes(memo::testing::v1::SOT_HUGE);
  EXPECT_TRUE(Same(Key<OldProbe>(), small, larger));
  larger.add_sizes(memo::testing::v1::SOT_LARGE);
  EXPECT_FALSE(Same(Key<OldProbe>(), small, larger));
}

TEST(MessageKeyTest, GroupsAndExtensionsAreFields) {
  const auto box = [](int value, const std::string& note) {
    return Encoded<OldProbe>([&](OldProbe& p) {
      p.mutable_box()->set_value(value);
      p.mutable_box()->set_note(note);
    });
  };
  EXPECT_FALSE(Same(Key<OldProbe>(), box(1, "a"), box(2, "a")));
  EXPECT_FALSE(Same(Key<OldProbe>(), box(1, "a"), box(1, "b")));
  EXPECT_TRUE(Same(Key<OldProbe>({"box.note"}), box(1, "a"), box(1, "b")));
  const auto extra = [](int value) {
    return Encoded<OldProbe>([&](OldProbe& p) { p.SetExtension(memo::testing::v1::extra, value); });
  };
  EXPECT_FALSE(Same(Key<OldProbe>(), extra(1), extra(2)));
  EXPECT_EQ(Key<OldProbe>().Differences(extra(1), extra(2)),
            Lines{"[memo.testing.v1.extra]: 1 vs 2"});
}

TEST(MessageKeyTest, Proto2TextNeedNotBeUtf8) {
  EXPECT_TRUE(
      Same(Key<OldProbe>(), Bytes(6, "\xff") + Varint(1, 1), Varint(1, 1) + Bytes(6, "\xff")));
  EXPECT_EQ(Key<OldProbe>().Text(Bytes(6, "\xff")), R"(text: "\377")");
}

}  // namespace
}  // namespace memod
