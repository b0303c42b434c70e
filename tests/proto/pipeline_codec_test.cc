// Random messages of the pipeline, and what is nearly one: the codec takes, refuses, reads and writes
// them as the generated classes do.
#include "memo/pipeline_codec.h"

#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "memod/tests/proto/pipeline_codec_check.h"
#include "memod/tests/testing/scale.h"

namespace memod::pipeline {
namespace {

// Bytes that are mostly well-formed fields, of which some mean something.
class Wire {
 public:
  explicit Wire(uint32_t seed) : engine_(seed) {}

  std::string Message(int depth = 0) {
    std::string bytes;
    for (int n = Below(depth == 0 ? 6 : 5); n > 0; --n) bytes += Field(depth);
    return bytes;
  }

  // One byte is another, or missing.
  std::string Spoilt(std::string bytes) {
    if (bytes.empty()) return bytes;
    const auto at = static_cast<size_t>(Below(static_cast<int>(bytes.size())));
    if (Below(2) == 0) {
      bytes[at] = static_cast<char>(Below(256));
    } else {
      bytes.erase(at, 1);
    }
    return bytes;
  }

  grpc::ByteBuffer InPieces(const std::string& bytes) {
    std::vector<grpc::Slice> slices;
    for (size_t at = 0; at < bytes.size();) {
      const std::string piece = bytes.substr(at, static_cast<size_t>(1 + Below(40)));
      slices.emplace_back(piece);
      at += piece.size();
    }
    return grpc::ByteBuffer(slices.data(), slices.size());
  }

  int Below(int bound) { return static_cast<int>(engine_() % static_cast<uint32_t>(bound)); }

 private:
  std::string Varint(uint64_t value) {
    std::string bytes;
    for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
    bytes += static_cast<char>(value);
    // Longer than it needs to be, now and then longer than may be.
    if (Below(20) == 0) {
      bytes.back() |= static_cast<char>(0x80);
      bytes += std::string(static_cast<size_t>(Below(10)), '\x80') + '\0';
    }
    return bytes;
  }

  uint64_t Number() {
    constexpr uint64_t kNumbers[] = {0,    1,     2,          4,          127,        128,
                                     1023, 16384, 0x7fffffff, 0xffffffff, 1ull << 32, ~0ull};
    return Below(3) == 0 ? engine_() : kNumbers[Below(12)];
  }

  std::string Text() {
    constexpr const char* kTexts[] = {"", "x", "/a.B/C", "\xc3\xa4", "\xff", "\xc3", "LIMIT"};
    if (Below(8) == 0) return std::string(static_cast<size_t>(Below(300)), 'y');
    return kTexts[Below(7)];
  }

  std::string Field(int depth) {
    const auto field = static_cast<uint64_t>(Below(10) == 0 ? Below(3000) : 1 + Below(6));
    switch (Below(12)) {
      case 0:
        return Varint(field << 3 | 1) + std::string(8, 'f');
      case 1:
        return Varint(field << 3 | 5) + std::string(4, 'f');
      case 2:
        if (depth > 3) return "";
        return Varint(field << 3 | 3) + Message(depth + 1) +
               Varint((Below(20) == 0 ? field + 1 : field) << 3 | 4);
      case 3:
      case 4:
      case 5:
        return Varint(field << 3) + Varint(Number());
      case 6:
      case 7: {
        const std::string text = Text();
        return Varint(field << 3 | 2) + Varint(text.size()) + text;
      }
      case 8: {
        std::string packed;
        for (int n = Below(4); n > 0; --n) packed += Varint(Number());
        return Varint(field << 3 | 2) + Varint(packed.size()) + packed;
      }
      default: {
        const std::string inner = depth > 3 ? "" : Message(depth + 1);
        return Varint(field << 3 | 2) + Varint(inner.size()) + inner;
      }
    }
  }

  std::mt19937 engine_;
};

TEST(PipelineCodecTest, ReadsWritesAndRefusesWhatTheGeneratedClassesDo) {
  google::protobuf::LogSilencer quiet;
  int taken = 0;
  const int count = Scaled(100'000);
  for (int seed = 0; seed < count; ++seed) {
    Wire wire(static_cast<uint32_t>(seed));
    std::string bytes = wire.Message();
    if (seed % 3 == 0) bytes = wire.Spoilt(bytes);
    taken += memo::v1::CallResponse().ParseFromString(bytes) ? 1 : 0;
    ASSERT_EQ(Difference(bytes), "") << "seed " << seed << ": " << absl::CHexEscape(bytes);
  }
  EXPECT_GT(taken, count / 4);
  EXPECT_LT(taken, count * 3 / 4);
}

TEST(PipelineCodecTest, MessageInManyPiecesReadsAsInOne) {
  for (int seed = 0; seed < Scaled(2000); ++seed) {
    Wire wire(static_cast<uint32_t>(seed));
    const std::string bytes = wire.Message();
    ASSERT_EQ(Bytes(wire.InPieces(bytes)), bytes);
  }
  EXPECT_EQ(Bytes(grpc::ByteBuffer()), "");
}

TEST(PipelineCodecTest, GroupsNestAsDeepAsProtobufLetsThem) {
  google::protobuf::LogSilencer quiet;
  for (const size_t depth : {99u, 100u, 101u, 100'000u}) {
    const std::string groups = std::string(depth, '\x7b') + std::string(depth, '\x7c');
    EXPECT_EQ(Difference(groups), "") << depth;
    memo::v1::CallRequest request;  // and within a call
    std::string call = "\x12" + std::string();
    for (size_t size = groups.size(); true; size >>= 7) {
      call += static_cast<char>(size < 0x80 ? size : size | 0x80);
      if (size < 0x80) break;
    }
    EXPECT_EQ(Difference(call + groups), "") << depth << " in a call";
  }
}

TEST(PipelineCodecTest, LongMessagesAreWrittenInChunksAndReadAsOne) {
  memo::v1::CallRequest request;
  memo::v1::CallResponse response;
  for (uint64_t id = 0; id < 3000; ++id) {
    auto* call = request.add_calls();
    call->set_id(id);
    call->set_request(std::string(id % 200, 'q'));
    auto* answer = response.add_answers();
    answer->set_id(id);
    answer->set_response(std::string(id % 7 == 0 ? 40'000 : id % 200, 'a'));
  }
  EXPECT_EQ(Difference(request.SerializeAsString()), "");
  EXPECT_EQ(Difference(response.SerializeAsString()), "");
}

TEST(PipelineCodecTest, SplicedMessagesAreOneAndBothGoOn) {
  MessageWriter one, other;
  one.AddPlain(1, 1, 0, "a");
  other.AddPlain(2, 1, 0, "b");
  other.AddPlain(3, 1, 0, "c");
  one.Splice(other);
  EXPECT_TRUE(other.empty());
  other.AddPlain(5, 1, 0, "e");
  one.AddPlain(4, 1, 0, "d");
  const auto ids = [](MessageWriter& writer) {
    memo::v1::CallResponse response;
    response.ParseFromString(Bytes(writer.Take()));
    std::vector<uint64_t> ids;
    for (const auto& answer : response.answers()) ids.push_back(answer.id());
    return ids;
  };
  EXPECT_EQ(ids(one), (std::vector<uint64_t>{1, 2, 3, 4}));
  EXPECT_EQ(ids(other), (std::vector<uint64_t>{5}));
  EXPECT_TRUE(one.empty());
}

}  // namespace
}  // namespace memod::pipeline
