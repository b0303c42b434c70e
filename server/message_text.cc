#include "memod/server/message_text.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace memod {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr size_t kMaxLines = 20;
constexpr size_t kMaxTextBytes = 4096;
constexpr size_t kMaxValueBytes = 80;
constexpr size_t kBytesBeforeDifference = 20;
constexpr const char* kAbsent = "(absent)";

google::protobuf::TextFormat::Printer MakePrinter() {
  google::protobuf::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  printer.SetUseShortRepeatedPrimitives(true);
  return printer;
}

std::string Braced(const Message& message) {
  std::string text;
  MakePrinter().PrintToString(message, &text);
  return text.empty() ? "{}" : absl::StrCat("{ ", text, text.back() == ' ' ? "}" : " }");
}

// `index` as reflection has it: -1 of a field that is not repeated.
std::string ValueText(const Message& message, const FieldDescriptor& field, int index) {
  const Reflection& reflection = *message.GetReflection();
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    return Braced(index < 0 ? reflection.GetMessage(message, &field)
                            : reflection.GetRepeatedMessage(message, &field, index));
  }
  std::string text;
  MakePrinter().PrintFieldValueToString(message, &field, index, &text);
  return text;
}

// Of a number with a point, which its text does not tell: NaNs differ, and equal what they are.
uint64_t Bits(const Message& message, const FieldDescriptor& field, int index) {
  const Reflection& r = *message.GetReflection();
  uint64_t bits = 0;
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE) {
    const double value =
        index < 0 ? r.GetDouble(message, &field) : r.GetRepeatedDouble(message, &field, index);
    std::memcpy(&bits, &value, sizeof(value));
  } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_FLOAT) {
    const float value =
        index < 0 ? r.GetFloat(message, &field) : r.GetRepeatedFloat(message, &field, index);
    std::memcpy(&bits, &value, sizeof(value));
  }
  return bits;
}

struct ByNumber {
  bool operator()(const FieldDescriptor* a, const FieldDescriptor* b) const {
    return a->number() < b->number();
  }
};

class Comparison {
 public:
  // `path` goes before the names of the fields: "", "amount.".
  void Compare(const std::string& path, const Message& a, const Message& b);
  std::vector<std::string> TakeLines();

 private:
  void CompareSingular(const std::string& name, const Message& a, const Message& b,
                       const FieldDescriptor& field);
  void CompareRepeated(const std::string& name, const Message& a, const Message& b,
                       const FieldDescriptor& field);
  void CompareMap(const std::string& name, const Message& a, const Message& b,
                  const FieldDescriptor& field);
  // Of values that are there in both.
  void CompareValue(const std::string& name, const Message& a, const Message& b,
                    const FieldDescriptor& field, int index);
  void Add(const std::string& name, const std::string& a, const std::string& b);

  std::vector<std::string> lines_;
  size_t more_ = 0;
};

void Comparison::Compare(const std::string& path, const Message& a, const Message& b) {
  std::vector<const FieldDescriptor*> in_a, in_b;
  a.GetReflection()->ListFields(a, &in_a);
  b.GetReflection()->ListFields(b, &in_b);
  std::set<const FieldDescriptor*, ByNumber> fields(in_a.begin(), in_a.end());
  fields.insert(in_b.begin(), in_b.end());
  for (const FieldDescriptor* field : fields) {
    const std::string name = field->is_extension()
                                 ? absl::StrCat(path, "[", field->full_name(), "]")
                                 : path + field->name();
    if (field->is_map()) {
      CompareMap(name, a, b, *field);
    } else if (field->is_repeated()) {
      CompareRepeated(name, a, b, *field);
    } else {
      CompareSingular(name, a, b, *field);
    }
  }
}

void Comparison::CompareSingular(const std::string& name, const Message& a, const Message& b,
                                 const FieldDescriptor& field) {
  const bool has_a = a.GetReflection()->HasField(a, &field);
  const bool has_b = b.GetReflection()->HasField(b, &field);
  if (!field.has_presence() || (has_a && has_b)) return CompareValue(name, a, b, field, -1);
  Add(name, has_a ? ValueText(a, field, -1) : kAbsent, has_b ? ValueText(b, field, -1) : kAbsent);
}

void Comparison::CompareRepeated(const std::string& name, const Message& a, const Message& b,
                                 const FieldDescriptor& field) {
  const int size_a = a.GetReflection()->FieldSize(a, &field);
  const int size_b = b.GetReflection()->FieldSize(b, &field);
  for (int i = 0; i < std::max(size_a, size_b); ++i) {
    const std::string element = absl::StrCat(name, "[", i, "]");
    if (i < size_a && i < size_b) {
      CompareValue(element, a, b, field, i);
    } else {
      Add(element, i < size_a ? ValueText(a, field, i) : kAbsent,
          i < size_b ? ValueText(b, field, i) : kAbsent);
    }
  }
}

void Comparison::CompareMap(const std::string& name, const Message& a, const Message& b,
                            const FieldDescriptor& field) {
  const FieldDescriptor& value = *field.message_type()->map_value();
  std::map<std::string, const Message*> in_b = MapEntries(b, field);
  for (const auto& [key, entry] : MapEntries(a, field)) {
    const std::string element = absl::StrCat(name, "[", key, "]");
    const auto other = in_b.find(key);
    if (other == in_b.end()) {
      Add(element, ValueText(*entry, value, -1), kAbsent);
    } else {
      CompareValue(element, *entry, *other->second, value, -1);
      in_b.erase(other);
    }
  }
  for (const auto& [key, entry] : in_b) {
    Add(absl::StrCat(name, "[", key, "]"), kAbsent, ValueText(*entry, value, -1));
  }
}

void Comparison::CompareValue(const std::string& name, const Message& a, const Message& b,
                              const FieldDescriptor& field, int index) {
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    const auto at = [&](const Message& message) -> const Message& {
      const Reflection& reflection = *message.GetReflection();
      return index < 0 ? reflection.GetMessage(message, &field)
                       : reflection.GetRepeatedMessage(message, &field, index);
    };
    return Compare(name + ".", at(a), at(b));
  }
  const std::string text_a = ValueText(a, field, index), text_b = ValueText(b, field, index);
  if (text_a != text_b) {
    Add(name, text_a, text_b);
  } else if (Bits(a, field, index) != Bits(b, field, index)) {
    Add(name, text_a, text_b + " of other bits");
  }
}

void Comparison::Add(const std::string& name, const std::string& a, const std::string& b) {
  if (lines_.size() == kMaxLines) {
    ++more_;
    return;
  }
  const auto [clipped_a, clipped_b] = ClippedPair(a, b);
  lines_.push_back(absl::StrCat(ClippedPair(name, name).first, ": ", clipped_a, " vs ", clipped_b));
}

std::vector<std::string> Comparison::TakeLines() {
  if (more_ > 0) lines_.push_back(absl::StrCat("and ", more_, " more"));
  return std::move(lines_);
}

std::string Clipped(const std::string& text, size_t begin, size_t bytes) {
  const std::string cut = text.substr(begin, bytes);
  return absl::StrCat(begin > 0 ? "..." : "", cut, begin + bytes < text.size() ? "..." : "");
}

}  // namespace

std::string MessageText(const Message& message) {
  std::string text;
  MakePrinter().PrintToString(message, &text);
  if (text.empty()) return "(empty)";
  if (text.back() == ' ') text.pop_back();
  if (text.size() <= kMaxTextBytes) return text;
  return absl::StrCat(text.substr(0, kMaxTextBytes), "... (", text.size(), " characters)");
}

std::map<std::string, const Message*> MapEntries(const Message& message,
                                                 const FieldDescriptor& field) {
  std::map<std::string, const Message*> entries;
  const Reflection& reflection = *message.GetReflection();
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    const Message& entry = reflection.GetRepeatedMessage(message, &field, i);
    entries[ValueText(entry, *field.message_type()->map_key(), -1)] = &entry;
  }
  return entries;
}

std::vector<std::string> MessageDifferences(const Message& a, const Message& b) {
  Comparison comparison;
  comparison.Compare("", a, b);
  return comparison.TakeLines();
}

std::pair<std::string, std::string> ClippedPair(const std::string& a, const std::string& b) {
  if (std::max(a.size(), b.size()) <= kMaxValueBytes) return {a, b};
  const size_t same = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
  const bool at_the_front = a == b || same + kBytesBeforeDifference < kMaxValueBytes;
  const size_t begin = at_the_front ? 0 : same - kBytesBeforeDifference;
  return {Clipped(a, begin, kMaxValueBytes), Clipped(b, begin, kMaxValueBytes)};
}

}  // namespace memod
