#include "memo/pipeline_codec.h"

#include <google/protobuf/stubs/common.h>

#include <bit>
#include <climits>
#include <cstring>

namespace memod::pipeline {
namespace {

// Reading

enum WireType : uint32_t { kVarint, kFixed64, kBytes, kStartGroup, kEndGroup, kFixed32 };

constexpr uint32_t Tag(uint32_t field, WireType type) { return field << 3 | type; }

// How deep protobuf lets messages and groups be nested.
constexpr int kMaxDepth = 100;
// Of what protobuf takes for the length of a field: its parser looks ahead by so much.
constexpr uint32_t kMaxLength = INT_MAX - 16;

// A cursor over a message. Each read is false, or 0, where the bytes are none of that kind; then it
// is of no use any more.
class Cursor {
 public:
  Cursor(std::string_view bytes, int depth)
      : at_(reinterpret_cast<const uint8_t*>(bytes.data())),
        end_(at_ + bytes.size()),
        depth_(depth) {}

  bool AtEnd() const { return at_ == end_; }
  std::string_view rest() const {
    return {reinterpret_cast<const char*>(at_), static_cast<size_t>(end_ - at_)};
  }

  // 0 is no tag.
  uint32_t ReadTag() {
    uint64_t tag = 0;
    return ReadVarint<5>(tag) ? static_cast<uint32_t>(tag) : 0;
  }

  // What does not fit into 64 bits is cut off, as protobuf does.
  template <int kMostBytes = 10>
  bool ReadVarint(uint64_t& value) {
    if (at_ != end_ && *at_ < 0x80) {
      value = *at_++;
      return true;
    }
    value = 0;
    for (int i = 0; i < kMostBytes && at_ != end_; ++i) {
      const uint64_t byte = *at_++;
      value |= (byte & 0x7f) << (7 * i);
      if (byte < 0x80) return true;
    }
    return false;
  }
  bool Read(uint64_t& value) { return ReadVarint(value); }
  bool Read(uint32_t& value) { return ReadAs(value); }
  bool Read(int32_t& value) { return ReadAs(value); }

  bool Read(std::string_view& bytes) {
    uint64_t size = 0;
    if (!ReadVarint<5>(size) || size > kMaxLength || size > rest().size()) return false;
    bytes = rest().substr(0, size);
    at_ += size;
    return true;
  }

  // Of proto3's type `string`.
  bool ReadText(std::string_view& text) {
    return Read(text) && google::protobuf::internal::IsStructurallyValidUTF8(
                             text.data(), static_cast<int>(text.size()));
  }

  // The field of this tag, which nobody here knows.
  bool Skip(uint32_t tag) {
    if (tag >> 3 == 0) return false;
    uint64_t number;
    std::string_view bytes;
    switch (tag & 7) {
      case kVarint:
        return ReadVarint(number);
      case kFixed64:
        return Advance(8);
      case kBytes:
        return Read(bytes);
      case kStartGroup:
        return SkipGroup(tag >> 3);
      case kFixed32:
        return Advance(4);
      default:
        return false;  // the end of a group that did not begin, or no type
    }
  }

 private:
  template <typename Narrow>
  bool ReadAs(Narrow& value) {
    uint64_t wide;
    if (!ReadVarint(wide)) return false;
    value = static_cast<Narrow>(wide);
    return true;
  }

  bool Advance(size_t bytes) {
    if (rest().size() < bytes) return false;
    at_ += bytes;
    return true;
  }

  bool SkipGroup(uint32_t field) {
    if (--depth_ < 0) return false;
    while (!AtEnd()) {
      const uint32_t tag = ReadTag();
      if (tag == Tag(field, kEndGroup)) {
        ++depth_;
        return true;
      }
      if (!Skip(tag)) return false;
    }
    return false;
  }

  const uint8_t* at_;
  const uint8_t* end_;
  int depth_;
};

// `read(cursor, tag)` for each field; true: it was one of its own, and is read; false: malformed;
// nullopt would be more than a hot loop needs, so a field that it does not know it skips itself.
template <typename ReadField>
bool ForEachField(std::string_view message, int depth, ReadField&& read) {
  Cursor in(message, depth);
  while (!in.AtEnd()) {
    const uint32_t tag = in.ReadTag();
    if (!read(in, tag)) return false;
  }
  return true;
}

bool Decode(std::string_view bytes, Call& call) {
  call = {};
  return ForEachField(bytes, kMaxDepth - 1, [&](Cursor& in, uint32_t tag) {
    switch (tag) {
      case Tag(1, kVarint):
        return in.Read(call.id);
      case Tag(2, kVarint):
        return in.Read(call.method);
      case Tag(3, kBytes):
        return in.Read(call.request);
      case Tag(4, kVarint):
        return in.Read(call.control);
      default:
        return in.Skip(tag);
    }
  });
}

bool Decode(std::string_view bytes, MethodNumber& method) {
  method = {};
  return ForEachField(bytes, kMaxDepth - 1, [&](Cursor& in, uint32_t tag) {
    switch (tag) {
      case Tag(1, kVarint):
        return in.Read(method.number);
      case Tag(2, kBytes):
        return in.ReadText(method.name);
      default:
        return in.Skip(tag);
    }
  });
}

// Not cleared before: an error that is there twice is merged, as protobuf does.
bool Merge(std::string_view bytes, Error& error) {
  return ForEachField(bytes, kMaxDepth - 2, [&](Cursor& in, uint32_t tag) {
    switch (tag) {
      case Tag(1, kVarint):
        return in.Read(error.code);
      case Tag(2, kBytes):
        return in.ReadText(error.message);
      case Tag(3, kBytes):
        return in.Read(error.details);
      case Tag(4, kBytes):
        return in.ReadText(error.memo_error);
      default:
        return in.Skip(tag);
    }
  });
}

bool Decode(std::string_view bytes, std::pair<std::string_view, std::string_view>& entry) {
  return ForEachField(bytes, kMaxDepth - 2, [&](Cursor& in, uint32_t tag) {
    switch (tag) {
      case Tag(1, kBytes):
        return in.ReadText(entry.first);
      case Tag(2, kBytes):
        return in.Read(entry.second);
      default:
        return in.Skip(tag);
    }
  });
}

bool Decode(std::string_view bytes, Answer& answer) {
  answer = {};
  answer.encoded = bytes;
  return ForEachField(bytes, kMaxDepth - 1, [&](Cursor& in, uint32_t tag) {
    std::string_view part;
    switch (tag) {
      case Tag(1, kVarint):
        return in.Read(answer.id);
      case Tag(2, kBytes):
        return in.Read(answer.response);
      case Tag(3, kVarint):
        return in.Read(answer.cache);
      case Tag(4, kVarint):
        return in.Read(answer.age_seconds);
      case Tag(5, kBytes):
        answer.failed = true;
        return in.Read(part) && Merge(part, answer.error);
      case Tag(6, kBytes): {
        answer.has_metadata = true;
        std::pair<std::string_view, std::string_view> entry;
        return in.Read(part) && Decode(part, entry);
      }
      default:
        return in.Skip(tag);
    }
  });
}

// The next field of this tag, and what is behind it; others are skipped.
template <typename T>
Next ReadNext(std::string_view& rest, uint32_t wanted, T& one) {
  Cursor in(rest, kMaxDepth);
  while (!in.AtEnd()) {
    const uint32_t tag = in.ReadTag();
    if (tag != wanted) {
      if (!in.Skip(tag)) return Next::kMalformed;
      continue;
    }
    std::string_view bytes;
    if (!in.Read(bytes) || !Decode(bytes, one)) return Next::kMalformed;
    rest = in.rest();
    return Next::kOne;
  }
  rest = {};
  return Next::kEnd;
}

// Writing

size_t VarintSize(uint64_t value) {
  return (static_cast<size_t>(std::bit_width(value | 1)) * 9 + 64) / 64;
}

char* WriteVarint(uint64_t value, char* to) {
  while (value >= 0x80) {
    *to++ = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  *to++ = static_cast<char>(value);
  return to;
}

// Every tag here fits into a byte. A field that has its default is left out, but for those of which
// proto3 sees that they are there.

size_t Size(uint64_t value) { return value == 0 ? 0 : 1 + VarintSize(value); }
// An int32 or an enum: below zero, ten bytes.
uint64_t Wide(int32_t value) { return static_cast<uint64_t>(int64_t{value}); }

char* Write(uint32_t field, uint64_t value, char* to) {
  if (value == 0) return to;
  *to++ = static_cast<char>(Tag(field, kVarint));
  return WriteVarint(value, to);
}

size_t SizeWithLength(size_t size) { return 1 + VarintSize(size) + size; }
size_t Size(std::string_view bytes) { return bytes.empty() ? 0 : SizeWithLength(bytes.size()); }

char* WriteLength(uint32_t field, size_t size, char* to) {
  *to++ = static_cast<char>(Tag(field, kBytes));
  return WriteVarint(size, to);
}

char* Write(uint32_t field, std::string_view bytes, char* to) {
  if (bytes.empty()) return to;
  to = WriteLength(field, bytes.size(), to);
  std::memcpy(to, bytes.data(), bytes.size());
  return to + bytes.size();
}

size_t SizeOf(const Call& call) {
  return Size(call.id) + Size(call.method) + Size(Wide(call.control)) + Size(call.request);
}

size_t SizeOf(const Error& error) {
  return Size(Wide(error.code)) + Size(error.message) + Size(error.details) +
         Size(error.memo_error);
}

size_t SizeOf(const std::pair<std::string, std::string>& entry) {
  return Size(entry.first) + Size(entry.second);
}

size_t SizeOf(const Answer& answer, const Metadata& metadata) {
  size_t size =
      Size(answer.id) + Size(Wide(answer.cache)) + Size(answer.age_seconds) + Size(answer.response);
  if (answer.failed) size += SizeWithLength(SizeOf(answer.error));
  for (const auto& entry : metadata) size += SizeWithLength(SizeOf(entry));
  return size;
}

// Behind its tag and length, all but the response, which comes last.
char* WriteHead(const Answer& answer, const Metadata& metadata, size_t size, char* to) {
  to = WriteLength(1, size, to);
  to = Write(1, answer.id, to);
  to = Write(3, Wide(answer.cache), to);
  to = Write(4, answer.age_seconds, to);
  if (answer.failed) {
    to = WriteLength(5, SizeOf(answer.error), to);
    to = Write(1, Wide(answer.error.code), to);
    to = Write(2, answer.error.message, to);
    to = Write(3, answer.error.details, to);
    to = Write(4, answer.error.memo_error, to);
  }
  for (const auto& entry : metadata) {
    to = WriteLength(6, SizeOf(entry), to);
    to = Write(1, entry.first, to);
    to = Write(2, entry.second, to);
  }
  return to;
}

// What is written goes into pieces of memory of this size.
constexpr size_t kChunkBytes = 32 << 10;

}  // namespace

std::string_view InOnePiece(const grpc::ByteBuffer& message, grpc::Slice& slice) {
  if (!message.Valid()) return {};
  if (!message.TrySingleSlice(&slice).ok() && !message.DumpToSingleSlice(&slice).ok()) return {};
  return {reinterpret_cast<const char*>(slice.begin()), slice.size()};
}

// Past the calls at the front of a message that take up to 127 bytes each: quicker than to skip them
// one by one as any other field.
std::string_view PastShortCalls(std::string_view message) {
  size_t at = 0;
  while (at + 1 < message.size() && message[at] == static_cast<char>(Tag(2, kBytes)) &&
         static_cast<signed char>(message[at + 1]) >= 0) {
    const size_t next = at + 2 + static_cast<size_t>(message[at + 1]);
    if (next > message.size()) break;
    at = next;
  }
  return message.substr(at);
}

bool RequestReader::ReadHead(absl::FunctionRef<void(const MethodNumber&)> on_method,
                             absl::FunctionRef<void(uint64_t id)> on_cancelled) const {
  return ForEachField(PastShortCalls(rest_), kMaxDepth, [&](Cursor& in, uint32_t tag) {
    std::string_view bytes;
    uint64_t id = 0;
    switch (tag) {
      case Tag(1, kBytes): {
        MethodNumber method;
        if (!in.Read(bytes) || !Decode(bytes, method)) return false;
        on_method(method);
        return true;
      }
      case Tag(3, kVarint):
        if (!in.Read(id)) return false;
        on_cancelled(id);
        return true;
      case Tag(3, kBytes): {
        if (!in.Read(bytes)) return false;
        Cursor ids(bytes, 0);
        while (!ids.AtEnd()) {
          if (!ids.Read(id)) return false;
          on_cancelled(id);
        }
        return true;
      }
      default:
        return in.Skip(tag);
    }
  });
}

Next RequestReader::Read(Call& call) { return ReadNext(rest_, Tag(2, kBytes), call); }

Next ResponseReader::Read(Answer& answer) { return ReadNext(rest_, Tag(1, kBytes), answer); }

Metadata MetadataOf(const Answer& answer) {
  Metadata metadata;
  std::string_view rest = answer.encoded;
  std::pair<std::string_view, std::string_view> entry;
  while (ReadNext(rest, Tag(6, kBytes), entry) == Next::kOne) {
    metadata.emplace_back(entry.first, entry.second);
    entry = {};
  }
  return metadata;
}

char* MessageWriter::Room(size_t size) {
  if (chunk_.size() - used_ < size) {
    Close();
    chunk_ = grpc::Slice(std::max(kChunkBytes, size));
    begin_ = used_ = 0;
  }
  return Bytes() + used_;
}

void MessageWriter::Close() {
  if (used_ == begin_) return;
  closed_.push_back(chunk_.sub(begin_, used_));
  closed_size_ += used_ - begin_;
  begin_ = used_;
}

grpc::ByteBuffer MessageWriter::Take() {
  Close();
  grpc::ByteBuffer message(closed_.data(), closed_.size());
  closed_.clear();
  closed_size_ = 0;
  return message;
}

void MessageWriter::Splice(MessageWriter& other) {
  if (other.empty()) return;
  Close();
  other.Close();
  closed_.insert(closed_.end(), other.closed_.begin(), other.closed_.end());
  closed_size_ += other.closed_size_;
  other.closed_.clear();
  other.closed_size_ = 0;
}

void MessageWriter::AddPlain(uint64_t id, int32_t cache, uint32_t age_seconds,
                             std::string_view response) {
  // Where all lengths take one byte, which is most often so.
  constexpr size_t kShort = 127;
  const size_t most = response.size() + 32;
  if (most > kShort) {
    return Add({.id = id, .cache = cache, .age_seconds = age_seconds, .response = response});
  }
  char* const begin = Room(most);
  char* to = begin + 2;
  to = Write(1, id, to);
  to = Write(2, response, to);
  to = Write(3, Wide(cache), to);
  to = Write(4, age_seconds, to);
  begin[0] = static_cast<char>(Tag(1, kBytes));
  begin[1] = static_cast<char>(to - begin - 2);
  Wrote(to);
}

void MessageWriter::Add(const MethodNumber& method) {
  const size_t size = Size(method.number) + Size(method.name);
  char* to = WriteLength(1, size, Room(SizeWithLength(size)));
  Wrote(Write(2, method.name, Write(1, method.number, to)));
}

void MessageWriter::Add(const Call& call) {
  const size_t size = SizeOf(call);
  char* to = WriteLength(2, size, Room(SizeWithLength(size)));
  to = Write(4, Wide(call.control), Write(2, call.method, Write(1, call.id, to)));
  Wrote(Write(3, call.request, to));
}

void MessageWriter::AddCancelled(uint64_t id) {
  char* to = Room(1 + VarintSize(id));
  *to++ = static_cast<char>(Tag(3, kVarint));
  Wrote(WriteVarint(id, to));
}

void MessageWriter::Add(const Answer& answer, const Metadata& metadata) {
  const size_t size = SizeOf(answer, metadata);
  char* to = WriteHead(answer, metadata, size, Room(SizeWithLength(size)));
  Wrote(Write(2, answer.response, to));
}

void MessageWriter::Add(const Answer& answer, const Metadata& metadata,
                        const grpc::Slice& response) {
  if (answer.response.empty()) return Add(answer, metadata);
  const size_t size = SizeOf(answer, metadata);
  char* to = Room(SizeWithLength(size) - answer.response.size());
  Wrote(WriteLength(2, answer.response.size(), WriteHead(answer, metadata, size, to)));
  Close();
  closed_.push_back(response);
  closed_size_ += response.size();
}

}  // namespace memod::pipeline
