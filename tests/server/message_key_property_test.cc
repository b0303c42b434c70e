// Random requests: those that are equal have one key however they are encoded, and no others have.
// What is equal, protobuf's own MessageDifferencer says.
#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "memod/server/message_key.h"
#include "memod/tests/testing/scale.h"
#include "testing/key_probe.pb.h"

namespace memod {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using memo::testing::v1::KeyPart;
using memo::testing::v1::KeyProbe;

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  int Below(int bound) { return static_cast<int>(engine_() % static_cast<uint32_t>(bound)); }
  bool OneIn(int n) { return Below(n) == 0; }
  std::mt19937& engine() { return engine_; }

 private:
  std::mt19937 engine_;
};

// --- messages of few values, so that many are equal ---

std::string Word(Random& random) { return std::string(random.Below(3), "ab"[random.Below(2)]); }

void Fill(KeyPart& part, Random& random, int depth) {
  if (random.OneIn(2)) part.set_value(random.Below(3));
  if (random.OneIn(2)) part.set_trace_id(Word(random));
  if (depth == 0) return;
  if (random.OneIn(3)) Fill(*part.mutable_inner(), random, depth - 1);
  while (random.OneIn(3)) Fill(*part.add_inners(), random, depth - 1);
  while (random.OneIn(3)) Fill((*part.mutable_by_name())[Word(random)], random, depth - 1);
}

// One of the fields anew.
void Change(KeyProbe& probe, Random& random) {
  const std::vector<std::function<void()>> changes = {
      [&] { probe.set_number(random.Below(3) - 1); },
      [&] { probe.set_choice(random.Below(2)); },
      [&] { probe.clear_choice(); },
      [&] { probe.set_text(Word(random)); },
      [&] { probe.set_data(Word(random) + '\xff'); },
      [&] { probe.set_ratio(random.Below(3) * 0.1); },
      [&] { probe.set_share(static_cast<float>(random.Below(2))); },
      [&] { probe.set_flag(random.OneIn(2)); },
      [&] { probe.set_colour(static_cast<memo::testing::v1::Colour>(random.Below(3))); },
      [&] { probe.set_zigzag(random.Below(3) - 1); },
      [&] { probe.set_fixed(random.Below(2)); },
      [&] { Fill(*probe.mutable_part(), random, 2); },
      [&] { probe.clear_part(); },
      [&] { Fill(*probe.add_parts(), random, 1); },
      [&] { probe.clear_parts(); },
      [&] { Fill((*probe.mutable_by_name())[Word(random)], random, 1); },
      [&] { (*probe.mutable_labels())[random.Below(4)] = Word(random); },
      [&] { probe.add_packed(random.Below(300)); },
      [&] { probe.add_unpacked(random.Below(300)); },
      [&] { probe.add_words(Word(random)); },
      [&] { probe.add_ratios(random.Below(2)); },
      [&] { probe.set_name(Word(random)); },
      [&] { probe.set_id(random.Below(2)); },
      [&] { Fill(*probe.mutable_whole(), random, 1); },
      [&] { probe.clear_kind(); },
  };
  changes[random.Below(static_cast<int>(changes.size()))]();
}

KeyProbe RandomProbe(Random& random) {
  KeyProbe probe;
  for (int changes = random.Below(20); changes > 0; --changes) Change(probe, random);
  return probe;
}

// --- one of the many ways to encode a message ---

std::string Varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(value | 0x80));
  bytes.push_back(static_cast<char>(value));
  return bytes;
}

std::string Delimited(const FieldDescriptor& field, const std::string& bytes) {
  return Varint(field.number() << 3 | 2) + Varint(bytes.size()) + bytes;
}

// Messages of the type with nothing but one element each.
std::vector<std::string> Scalars(const Message& message, const FieldDescriptor& field) {
  const Reflection& r = *message.GetReflection();
  std::vector<std::string> elements;
  for (int i = 0; i < r.FieldSize(message, &field); ++i) {
    const std::unique_ptr<Message> one(message.New());
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        r.AddInt32(one.get(), &field, r.GetRepeatedInt32(message, &field, i));
        break;
      case FieldDescriptor::CPPTYPE_DOUBLE:
        r.AddDouble(one.get(), &field, r.GetRepeatedDouble(message, &field, i));
        break;
      default:
        r.AddString(one.get(), &field, r.GetRepeatedString(message, &field, i));
    }
    elements.push_back(one->SerializeAsString());
  }
  return elements;
}

// Of a number: packed, or by itself, whatever the .proto says.
std::string Repacked(const std::string& chunk, const FieldDescriptor& field, Random& random) {
  if (field.cpp_type() != FieldDescriptor::CPPTYPE_INT32 || random.OneIn(2)) return chunk;
  // Both are: a tag, whose length is that of the number; a length below 128, if packed; the value.
  const size_t tag = Varint(field.number() << 3).size();
  if (field.is_packed()) return Varint(field.number() << 3) + chunk.substr(tag + 1);
  return Delimited(field, chunk.substr(tag));
}

std::string Encode(const Message& message, Random& random);

// A map's entry: its value may come before its key. By itself, protobuf encodes neither.
std::string EncodeEntry(const Message& entry, Random& random) {
  const Reflection& r = *entry.GetReflection();
  const FieldDescriptor& key = *entry.GetDescriptor()->map_key();
  const FieldDescriptor& value = *entry.GetDescriptor()->map_value();
  const std::string key_bytes = key.cpp_type() == FieldDescriptor::CPPTYPE_STRING
                                    ? Delimited(key, r.GetString(entry, &key))
                                    : Varint(key.number() << 3) + Varint(r.GetInt32(entry, &key));
  const std::string value_bytes =
      Delimited(value, value.cpp_type() == FieldDescriptor::CPPTYPE_STRING
                           ? r.GetString(entry, &value)
                           : Encode(r.GetMessage(entry, &value), random));
  return random.OneIn(2) ? key_bytes + value_bytes : value_bytes + key_bytes;
}

// A message's field in as many pieces as there are, each with some of its fields.
std::vector<std::string> Pieces(const Message& part, const FieldDescriptor& field, Random& random) {
  const std::unique_ptr<Message> first(part.New()), second(part.New());
  first->CopyFrom(part);
  second->CopyFrom(part);
  std::vector<const FieldDescriptor*> fields;
  part.GetReflection()->ListFields(part, &fields);
  for (const FieldDescriptor* each : fields) {
    Message& without = random.OneIn(2) ? *first : *second;
    without.GetReflection()->ClearField(&without, each);
  }
  return {Delimited(field, Encode(*first, random)), Delimited(field, Encode(*second, random))};
}

// The bytes of one field, to be put in this order, other fields' in between.
std::vector<std::string> Chunks(const Message& message, const FieldDescriptor& field,
                                Random& random) {
  const Reflection& r = *message.GetReflection();
  std::vector<std::string> chunks;
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    if (!field.is_repeated()) return Pieces(r.GetMessage(message, &field), field, random);
    for (int i = 0; i < r.FieldSize(message, &field); ++i) {
      const Message& element = r.GetRepeatedMessage(message, &field, i);
      chunks.push_back(Delimited(
          field, field.is_map() ? EncodeEntry(element, random) : Encode(element, random)));
    }
    if (field.is_map()) std::shuffle(chunks.begin(), chunks.end(), random.engine());
  } else if (field.is_repeated()) {
    for (const std::string& chunk : Scalars(message, field)) {
      chunks.push_back(Repacked(chunk, field, random));
    }
  } else {
    const std::unique_ptr<Message> alone(message.New());
    alone->CopyFrom(message);
    std::vector<const FieldDescriptor*> fields;
    r.ListFields(message, &fields);
    for (const FieldDescriptor* other : fields) {
      if (other != &field) r.ClearField(alone.get(), other);
    }
    chunks.assign(1 + random.Below(2), alone->SerializePartialAsString());
  }
  return chunks;
}

std::string Encode(const Message& message, Random& random) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  std::vector<std::vector<std::string>> streams;
  for (const FieldDescriptor* field : fields) streams.push_back(Chunks(message, *field, random));
  if (random.OneIn(3)) streams.push_back({Varint(2000 << 3) + Varint(random.Below(1000))});
  std::vector<size_t> order;
  for (size_t i = 0; i < streams.size(); ++i) order.insert(order.end(), streams[i].size(), i);
  std::shuffle(order.begin(), order.end(), random.engine());
  std::vector<size_t> next(streams.size());
  std::string bytes;
  for (size_t i : order) bytes += streams[i][next[i]++];
  return bytes;
}

// --- the properties ---

const std::vector<std::string> kIgnored = {
    "choice", "part.inner.trace_id", "parts.by_name", "by_name.inners.value", "labels", "name"};

KeyProbe WithoutIgnored(KeyProbe probe) {
  probe.clear_choice();
  if (probe.has_part() && probe.part().has_inner()) {
    probe.mutable_part()->mutable_inner()->clear_trace_id();
  }
  for (KeyPart& part : *probe.mutable_parts()) part.clear_by_name();
  for (auto& [name, part] : *probe.mutable_by_name()) {
    for (KeyPart& inner : *part.mutable_inners()) inner.clear_value();
  }
  probe.clear_labels();
  if (probe.has_name()) probe.clear_kind();
  return probe;
}

TEST(MessageKeyPropertyTest, EqualMessagesHaveOneKeyHoweverTheyAreEncoded) {
  const absl::StatusOr<MessageKey> key = MessageKey::Make(*KeyProbe::descriptor(), {});
  ASSERT_TRUE(key.ok()) << key.status();
  Random random(1);
  int other_bytes = 0;
  for (int i = 0; i < Scaled(20'000); ++i) {
    const KeyProbe probe = RandomProbe(random);
    const std::string plain = probe.SerializeAsString(), shuffled = Encode(probe, random);
    KeyProbe decoded;
    ASSERT_TRUE(decoded.ParseFromString(shuffled));
    decoded.DiscardUnknownFields();
    ASSERT_TRUE(google::protobuf::util::MessageDifferencer::Equals(decoded, probe))
        << "the encoder of this test";
    ASSERT_EQ(key->Of(shuffled), key->Of(plain)) << probe.DebugString();
    other_bytes += shuffled != plain;
  }
  EXPECT_GT(other_bytes, Scaled(10'000));
}

TEST(MessageKeyPropertyTest, KeysAreEqualIfAndOnlyIfMessagesAre) {
  const absl::StatusOr<MessageKey> key = MessageKey::Make(*KeyProbe::descriptor(), kIgnored);
  ASSERT_TRUE(key.ok()) << key.status();
  Random random(2);
  int equal = 0, different = 0;
  for (int i = 0; i < Scaled(20'000); ++i) {
    const KeyProbe a = RandomProbe(random);
    KeyProbe b = a;
    for (int changes = random.Below(3); changes > 0; --changes) Change(b, random);
    const bool same =
        google::protobuf::util::MessageDifferencer::Equals(WithoutIgnored(a), WithoutIgnored(b));
    const std::string bytes_a = Encode(a, random), bytes_b = Encode(b, random);
    ASSERT_EQ(key->Of(bytes_a) == key->Of(bytes_b), same) << a.DebugString() << "\nand\n"
                                                          << b.DebugString();
    ASSERT_EQ(key->Differences(bytes_a, bytes_b).empty(), same) << a.DebugString() << "\nand\n"
                                                                << b.DebugString();
    ++(same ? equal : different);
  }
  EXPECT_GT(equal, Scaled(2'000));
  EXPECT_GT(different, Scaled(2'000));
}

TEST(MessageKeyPropertyTest, AnyBytesHaveAKeyOfTheirOwnOrOfWhatTheyDecodeTo) {
  const absl::StatusOr<MessageKey> key = MessageKey::Make(*KeyProbe::descriptor(), kIgnored);
  ASSERT_TRUE(key.ok()) << key.status();
  const google::protobuf::LogSilencer silence;  // of text that is not UTF-8
  Random random(3);
  int decoded = 0, not_decoded = 0;
  for (int i = 0; i < Scaled(50'000); ++i) {
    std::string bytes = Encode(RandomProbe(random), random);
    for (int damage = random.Below(3); damage > 0 && !bytes.empty(); --damage) {
      char& one = bytes[random.Below(static_cast<int>(bytes.size()))];
      one = static_cast<char>(random.Below(256));
    }
    if (random.OneIn(4)) bytes.resize(random.Below(static_cast<int>(bytes.size()) + 1));
    KeyProbe probe;
    const bool is_message = probe.ParseFromString(bytes);
    probe.DiscardUnknownFields();
    ASSERT_EQ(key->Of(bytes),
              is_message ? key->Of(WithoutIgnored(probe).SerializeAsString()) : "b" + bytes);
    ASSERT_EQ(key->Differences(bytes, bytes), std::vector<std::string>());
    key->Text(bytes);
    key->LeftOut(bytes);
    ++(is_message ? decoded : not_decoded);
  }
  EXPECT_GT(decoded, Scaled(5'000));
  EXPECT_GT(not_decoded, Scaled(5'000));
}

}  // namespace
}  // namespace memod
