// Messages, and why two of them differ, for people: ASCII, on one line, cut to what can be read.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace memod {

// In protobuf's text format: name: "x" amount { value: 2 }
std::string MessageText(const google::protobuf::Message& message);

// The entries of a map field by their keys' texts; of those with equal keys, the last.
std::map<std::string, const google::protobuf::Message*> MapEntries(
    const google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field);

// A line for each field in which two messages of one type differ, and after twenty how many more:
//   amount.value: 2 vs 3
//   items[2]: { id: 7 } vs (absent)
//   labels["colour"]: "red" vs "green"
// Empty: they are equal, bit by bit. Elements of a repeated field are compared in their places.
// Unknown fields are not looked at.
std::vector<std::string> MessageDifferences(const google::protobuf::Message& a,
                                            const google::protobuf::Message& b);

// Both cut to what shows where they begin to differ.
std::pair<std::string, std::string> ClippedPair(const std::string& a, const std::string& b);

}  // namespace memod
