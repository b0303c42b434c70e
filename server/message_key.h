// What of a request is part of its key where key.mode is "message", and what it says in words.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace memod {

// Requests of one type. Constant once made, and so thread-safe.
//
// Two requests have one key if they decode to messages that are equal in all fields of the type,
// those that are ignored aside. Neither the order of the fields on the wire counts, nor that of a
// map's entries, nor how numbers are packed. All else does: the order of a repeated field's
// elements; an `optional` field that is set to its default, against one that is not set; 0.0
// against -0.0; the bits of a NaN; the bytes of a google.protobuf.Any, which is not looked into.
//
// Fields that a type does not have are left out, at any depth, if it is compiled in; as are values
// that a closed enum (proto2) does not have. To accessors there is no difference. But reflection
// shows them, and who passes the message on sends them. So whoever computes behind such a key gets
// a message without them (Message::DiscardUnknownFields), or else the answer could depend on what
// the key does not have. Of types that are not compiled in they are part of the key: the request
// goes on to somebody who may know more. Extensions that are compiled in are fields as all others.
//
// A request that is not of the type is its own key, bytes as they are, and equals no other: it is
// truncated, nested deeper than protobuf decodes, has text that is not UTF-8 (proto3), or a map's
// key twice (of types that are not compiled in). proto2's required fields may be missing.
class MessageKey {
 public:
  // `ignore`: paths to fields, as in "options.trace_id". A path goes through a message, through
  // every element of a repeated field and every value of a map (which it does not name:
  // "by_id.note" is the field `note` of each value), and ends at any field.
  //
  // `factory` makes messages of the type and outlives this.
  //
  // INVALID_ARGUMENT: a line for each path that leads nowhere, or that is there twice or within
  // another one:
  //   "options.trce_id": pkg.Options has no field "trce_id"; did you mean trace_id?
  static absl::StatusOr<MessageKey> Make(const google::protobuf::Descriptor& type,
                                         const std::vector<std::string>& ignore,
                                         google::protobuf::MessageFactory* factory =
                                             google::protobuf::MessageFactory::generated_factory());

  // Any bytes have a key. It is for comparing within this process, not for keeping. To make it, the
  // request is decoded and encoded again: what message_key_benchmark measures.
  std::string Of(std::string_view request) const;

  // The key of a request while it is not known what it is. It equals none of Of.
  static std::string OfBytes(std::string_view request);

  // --- For people. Of a method whose key is bytes: made with nothing to ignore. ---

  // What the key of the request holds, on one line of ASCII, cut where it is very long.
  std::string Text(std::string_view request) const;
  // Why two keys differ, a line each, and not too many:
  //   amount.value: 2 vs 3
  // Empty if, and only if, the keys are equal.
  std::vector<std::string> Differences(std::string_view a, std::string_view b) const;
  // What the request has and its key has not: paths of `ignore`, and "(unknown fields)".
  std::vector<std::string> LeftOut(std::string_view request) const;

 private:
  struct Path {
    std::string text;
    std::vector<const google::protobuf::FieldDescriptor*> fields;
  };

  MessageKey(const google::protobuf::Message& prototype, std::vector<Path> ignore)
      : prototype_(&prototype), ignore_(std::move(ignore)) {}

  static absl::StatusOr<Path> Resolve(const google::protobuf::Descriptor& type,
                                      const std::string& text);
  // As it was sent; null: it is not of the type.
  std::unique_ptr<google::protobuf::Message> Parse(std::string_view request) const;
  // Without what is left out.
  std::unique_ptr<google::protobuf::Message> ParseKey(std::string_view request) const;
  // For people: a request that is not of the type, of which `shown` is to be seen.
  std::string NotDecoded(std::string_view request, const std::string& shown) const;

  const google::protobuf::Message* prototype_;
  std::vector<Path> ignore_;
};

}  // namespace memod
