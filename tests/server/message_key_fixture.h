// What tests of keys share: keys, and requests by hand.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "memod/server/message_key.h"
#include "testing/key_probe.pb.h"

namespace memod {

template <class M = memo::testing::v1::KeyProbe>
MessageKey Key(const std::vector<std::string>& ignore = {}) {
  absl::StatusOr<MessageKey> key = MessageKey::Make(*M::descriptor(), ignore);
  EXPECT_TRUE(key.ok()) << key.status();
  return *std::move(key);
}

// Whether two requests have one key, which Differences has to confirm.
inline bool Same(const MessageKey& key, const std::string& a, const std::string& b) {
  const bool same = key.Of(a) == key.Of(b);
  EXPECT_EQ(key.Differences(a, b).empty(), same);
  return same;
}
inline bool Same(const MessageKey& key, const google::protobuf::Message& a,
                 const google::protobuf::Message& b) {
  return Same(key, a.SerializePartialAsString(), b.SerializePartialAsString());
}

// A message that `fill` fills.
template <class M = memo::testing::v1::KeyProbe, class Fill>
std::string Encoded(const Fill& fill) {
  M message;
  fill(message);
  return message.SerializePartialAsString();
}

// Wire format by hand.
inline std::string Varint(int number, char value) {
  return {static_cast<char>(number << 3), value};
}
inline std::string Bytes(int number, const std::string& bytes) {
  EXPECT_LT(number, 16);
  EXPECT_LT(bytes.size(), 128u);
  return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(bytes.size())} + bytes;
}
const char kHighNumber[] = "\x80\x7d\x05";  // field 2000

}  // namespace memod
