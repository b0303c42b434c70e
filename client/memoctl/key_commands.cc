#include "memod/client/memoctl/key_commands.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "memo/json.h"
#include "memod/client/memoctl/argument.h"
#include "memod/client/memoctl/table.h"

namespace memod {
namespace {

using memo::v1::AdminService;
using memo::v1::DescribedCall;
using memo::v1::KeyExplanation;

// Map fields in the order of their keys, so that what is typed once and again is one call.
std::string Encode(const google::protobuf::Message& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream out(&stream);
  out.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&out);
  out.Trim();
  return bytes;
}

absl::StatusOr<DescribedCall> Describe(ServerTypes& types, const DescribedCallText& text) {
  const auto method = types.FindMethod(text.method);
  if (!method.ok()) return method.status();
  const auto json = ReadArgument(text.request == "-" ? "@-" : text.request);
  if (!json.ok()) return json.status();
  const auto request = types.FromJson(*(*method)->input_type(), *json, "request");
  if (!request.ok()) return request.status();
  const auto metadata = ParseMetadata(text.metadata);
  if (!metadata.ok()) return metadata.status();
  DescribedCall call;
  call.set_session_id(text.session_id);
  call.set_method(PathOf(**method));
  call.set_request(Encode(**request));
  for (const auto& [name, value] : *metadata) {
    auto* entry = call.add_metadata();
    entry->set_name(name);
    entry->set_value(value);
  }
  return call;
}

bool AsksAboutAnother(const ExplainText& text) {
  return text.other_request || text.other_session_id || text.other_metadata;
}

DescribedCallText Other(const ExplainText& text) {
  DescribedCallText other = text.call;
  if (text.other_request) other.request = *text.other_request;
  if (text.other_session_id) other.session_id = *text.other_session_id;
  if (text.other_metadata) other.metadata = *text.other_metadata;
  return other;
}

std::string KeyText(const KeyExplanation& key) {
  Table table({{"PART"}, {"BYTES", Table::Align::kRight}, {"VALUE"}});
  for (const auto& part : key.parts()) {
    table.AddRow({part.name(), absl::StrCat(part.bytes()), part.value()});
  }
  const double age =
      static_cast<double>(key.age().seconds()) + static_cast<double>(key.age().nanos()) / 1e9;
  return absl::StrCat(
      table.Render(), "\n",
      key.left_out().empty()
          ? ""
          : absl::StrCat("not part of it: ", Printable(absl::StrJoin(key.left_out(), ", ")), "\n"),
      key.remembered() ? absl::StrCat("remembered, ", HumanSeconds(age), " old\n")
                       : "not remembered\n");
}

std::string ExplanationText(const memo::v1::ExplainKeyResponse& response) {
  std::string text = KeyText(response.key());
  if (!response.has_other()) return text;
  absl::StrAppend(&text, "\nthe other\n\n", KeyText(response.other()), "\n");
  if (response.equal())
    return absl::StrCat(text, "the same key: an answer to one answers the other\n");
  absl::StrAppend(&text, "two keys:\n");
  for (const std::string& line : response.differences())
    absl::StrAppend(&text, "  ", Printable(line), "\n");
  return text;
}

}  // namespace

absl::StatusOr<std::string> ForgetCall(AdminPort& admin, const CommandOptions& options,
                                       const DescribedCallText& text) {
  const auto client = ConnectTo(options);
  if (!client.ok()) return client.status();
  ServerTypes types(client->channel(), options.timeout);
  auto call = Describe(types, text);
  if (!call.ok()) return call.status();
  memo::v1::AdminServiceForgetRequest request;
  *request.mutable_call() = *std::move(call);
  const auto response = admin.Ask(&AdminService::Stub::Forget, request);
  if (!response.ok()) return response.status();
  return ReceiptText(options, response->receipt());
}

absl::StatusOr<std::string> ExplainKey(AdminPort& admin, const CommandOptions& options,
                                       const ExplainText& text) {
  const auto client = ConnectTo(options);
  if (!client.ok()) return client.status();
  ServerTypes types(client->channel(), options.timeout);
  auto call = Describe(types, text.call);
  if (!call.ok()) return call.status();
  memo::v1::ExplainKeyRequest request;
  *request.mutable_call() = *std::move(call);
  if (AsksAboutAnother(text)) {
    auto other = Describe(types, Other(text));
    if (!other.ok()) return other.status();
    *request.mutable_other() = *std::move(other);
  }
  const auto response = admin.Ask(&AdminService::Stub::ExplainKey, request);
  if (!response.ok()) return response.status();
  return options.json ? ToJson(*response, options.json_indent) + "\n" : ExplanationText(*response);
}

}  // namespace memod
