// Protobuf messages as JSON that people and jq read without surprises, which protobuf's own JSON
// is not (it prints 64-bit integers as strings, renames fields and leaves out zeros).
#pragma once

#include <google/protobuf/message.h>

#include <string>

namespace memod {

// An object with every field of `message`, always, under its name in the .proto and in that order:
//   integers of any width    a number, exact (a reader that knows only doubles rounds beyond 2^53)
//   double, float            a number; null when infinite or not a number
//   enum                     its name, or its number when it has none
//   bytes                    base64
//   google.protobuf.Duration seconds, a number
//   repeated                 an array; a map: an object in the order of its keys
//   unset optional or oneof scalar, unset message: null
// Text that is not UTF-8 gets U+FFFD in place of what is wrong with it.
// `indent`: spaces per level; negative: all on one line.
std::string ToJson(const google::protobuf::Message& message, int indent = -1);

}  // namespace memod
