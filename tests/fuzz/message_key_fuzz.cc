// Hostile bytes as requests of methods whose key is a message: MessageKey takes any of them, and what
// it says of two is consistent.
//
// The first byte chooses what is ignored; the next two say where the one request ends and the other
// begins. Built with libFuzzer (the preset `fuzz`, run by .ci/run), and with replay.cc, which feeds it
// what is kept in message_key/.
#include <google/protobuf/stubs/logging.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "memod/server/message_key.h"
#include "testing/key_probe.pb.h"

namespace memod {
namespace {

using memo::testing::v1::KeyProbe;

std::vector<MessageKey> MakeKeys() {
  const std::vector<std::vector<std::string>> ignored = {
      {},
      {"number", "part.trace_id", "parts.inner.value", "by_name.trace_id", "labels", "packed"},
      {"parts", "by_name", "whole", "any", "ratio"},
      {"part", "by_name.inners.by_name.value", "name", "words"},
  };
  std::vector<MessageKey> keys;
  for (const auto& paths : ignored) {
    keys.push_back(MessageKey::Make(*KeyProbe::descriptor(), paths).value());
  }
  return keys;
}

void Expect(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

void Check(const MessageKey& key, std::string_view a, std::string_view b) {
  const std::string of_a = key.Of(a), of_b = key.Of(b);
  Expect(of_a == key.Of(a), "a request has one key");
  Expect(key.Differences(a, b).empty() == (of_a == of_b), "keys differ if there are differences");
  Expect(key.Differences(a, a).empty(), "a request does not differ from itself");
  for (const char c : key.Text(a)) Expect(c >= ' ' && c <= '~', "its text is one line of ASCII");
  key.LeftOut(a);
  KeyProbe decoded;
  if (!decoded.ParseFromArray(a.data(), static_cast<int>(a.size()))) return;
  Expect(key.Of(decoded.SerializeAsString()) == of_a, "the same message has the same key");
}

}  // namespace
}  // namespace memod

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto& keys = *new std::vector<memod::MessageKey>(memod::MakeKeys());
  google::protobuf::SetLogHandler(nullptr);
  if (size < 3) return 0;
  const auto& key = keys[data[0] % keys.size()];
  const std::string_view rest(reinterpret_cast<const char*>(data) + 3, size - 3);
  const size_t middle = rest.empty() ? 0 : (data[1] * 256u + data[2]) % (rest.size() + 1);
  memod::Check(key, rest.substr(0, middle), rest.substr(middle));
  memod::Check(key, rest, rest.substr(middle));
  return 0;
}
