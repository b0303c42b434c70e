#include "memod/client/memoctl/call_command.h"

#include <grpcpp/generic/generic_stub.h>

#include <cstdlib>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "memo/json.h"
#include "memod/client/grpc_status.h"
#include "memod/client/memoctl/argument.h"
#include "memod/client/memoctl/misuse.h"

namespace memod {
namespace {

using google::protobuf::Message;
using google::protobuf::MessageLite;
using google::protobuf::MethodDescriptor;
using Json = nlohmann::ordered_json;

// How one call went.
struct Outcome {
  absl::Status status;
  std::string answer;             // as JSON
  std::string cache, age, error;  // memo-cache, memo-age, memo-error; empty: not sent
  double seconds = 0;

  // `status`, to be told to the user.
  absl::Status Told() const {
    if (status.ok() || error.empty()) return status;
    return absl::Status(status.code(),
                        absl::StrCat(status.message(), " (memo-error: ", error, ")"));
  }
};

std::string Find(const std::multimap<grpc::string_ref, grpc::string_ref>& metadata,
                 const char* name) {
  const auto found = metadata.find(name);
  return found == metadata.end() ? "" : std::string(found->second.data(), found->second.size());
}

Outcome CallOnce(const std::shared_ptr<grpc::Channel>& server, const MethodDescriptor& method,
                 const Message& request, const Metadata& metadata, absl::Duration timeout,
                 Message& answer) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  for (const auto& [name, value] : metadata) context.AddMetadata(name, value);
  const std::string path = PathOf(method);
  grpc::TemplatedGenericStub<MessageLite, MessageLite> stub(server);
  grpc::Status status;
  absl::Notification done;
  const absl::Time begin = absl::Now();
  stub.UnaryCall(&context, path, {}, &request, &answer, [&](grpc::Status end) {
    status = std::move(end);
    done.Notify();
  });
  done.WaitForNotification();

  Outcome outcome;
  outcome.seconds = absl::ToDoubleSeconds(absl::Now() - begin);
  outcome.status = FromGrpc(status);
  outcome.cache = Find(context.GetServerInitialMetadata(), "memo-cache");
  outcome.age = Find(context.GetServerInitialMetadata(), "memo-age");
  outcome.error = Find(context.GetServerTrailingMetadata(), "memo-error");
  if (status.ok()) outcome.answer = ToJson(answer, 2);
  return outcome;
}

// "hit (age 3 s), 0.41 ms"
std::string Line(const Outcome& outcome) {
  const std::string how = !outcome.status.ok()    ? "failed"
                          : outcome.cache.empty() ? "not memoized"
                                                  : outcome.cache;
  return absl::StrCat(how, outcome.age.empty() ? "" : absl::StrCat(" (age ", outcome.age, " s)"),
                      outcome.seconds < 1 ? absl::StrFormat(", %.2f ms", outcome.seconds * 1e3)
                                          : absl::StrFormat(", %.3f s", outcome.seconds));
}

std::string JsonText(const Outcome& outcome, int indent) {
  const auto or_null = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  const auto age = outcome.age.empty() ? Json() : Json::parse(outcome.age, nullptr, false);
  const Json object = {
      {"answer", outcome.status.ok() ? Json::parse(outcome.answer) : Json()},
      {"memo_cache", or_null(outcome.cache)},
      {"memo_age", age.is_number() ? age : Json()},
      {"seconds", outcome.seconds},
      {"status", absl::StatusCodeToString(outcome.status.code())},
      {"message", std::string(outcome.status.message())},
      {"memo_error", or_null(outcome.error)},
  };
  return object.dump(indent, ' ', false, Json::error_handler_t::replace);
}

// What `memoctl open` prints, as text or as JSON, or the handle alone.
absl::StatusOr<std::string> ReadHandle(const std::string& file) {
  const auto text = ReadArgument(file[0] == '@' ? file : "@" + file);
  if (!text.ok()) return text.status();
  const Json json = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (json.is_object() && json.contains("handle") && json["handle"].is_string()) {
    return json["handle"].get<std::string>();
  }
  const std::vector<std::string> words =
      absl::StrSplit(*text, absl::ByAnyChar(" \r\n\t"), absl::SkipEmpty());
  if (words.size() >= 2 && words[0] == "handle") return words[1];
  if (words.size() == 1) return words[0];
  return Misuse(absl::StrCat(file, " holds no handle, as memoctl open prints it"));
}

// The session that `text` asks to open for its calls; nullopt if it does not.
absl::StatusOr<std::optional<SessionHandle>> OpenFor(const CallText& text, const Client& client,
                                                     ServerTypes& types) {
  if (text.open.empty()) return std::nullopt;
  StateText state_text{text.open[0], "", {text.open.begin() + 1, text.open.end()}};
  const auto state = BuildState(types, state_text);
  if (!state.ok()) return state.status();
  auto session = client.OpenSession(*state);
  if (!session.ok()) return session.status();
  return std::optional<SessionHandle>(*std::move(session));
}

absl::StatusOr<std::string> HandleFor(const CallText& text,
                                      const std::optional<SessionHandle>& session) {
  if (session.has_value()) return session->handle();
  if (!text.session_file.empty()) return ReadHandle(text.session_file);
  const char* handle = std::getenv("MEMO_SESSION");
  return std::string(handle == nullptr ? "" : handle);
}

absl::StatusOr<Metadata> MetadataFor(const CallText& text,
                                     const std::optional<SessionHandle>& session) {
  auto metadata = ParseMetadata(text.metadata);
  if (!metadata.ok()) return metadata;
  const auto handle = HandleFor(text, session);
  if (!handle.ok()) return handle.status();
  if (!std::all_of(handle->begin(), handle->end(), absl::ascii_isgraph)) {
    return Misuse("the session's handle is none: it has characters that no handle has");
  }
  if (!handle->empty()) metadata->emplace_back("memo-session", *handle);
  if (!text.control.empty()) metadata->emplace_back("memo-control", text.control);
  return metadata;
}

}  // namespace

absl::Status CallMethod(const CommandOptions& options, const CallText& text) {
  const auto client = ConnectTo(options);
  if (!client.ok()) return client.status();
  ServerTypes types(client->channel(), options.timeout);
  const auto method = types.FindMethod(text.method);
  if (!method.ok()) return method.status();
  if ((*method)->client_streaming() || (*method)->server_streaming()) {
    return Misuse(
        absl::StrCat(PathOf(**method), " is a streaming method, only unary ones are called"));
  }
  const auto json = ReadArgument(text.request == "-" ? "@-" : text.request);
  if (!json.ok()) return json.status();
  const auto request = types.FromJson(*(*method)->input_type(), *json, "request");
  if (!request.ok()) return request.status();
  auto session = OpenFor(text, *client, types);
  if (!session.ok()) return session.status();
  const auto metadata = MetadataFor(text, *session);
  if (!metadata.ok()) return metadata.status();

  const auto answer = types.New(*(*method)->output_type());
  std::string printed;
  for (int i = 0; i < text.repeat; ++i) {
    const Outcome outcome =
        CallOnce(client->channel(), **method, **request, *metadata, options.timeout, *answer);
    if (options.json) {
      std::cout << JsonText(outcome, options.json_indent) << std::endl;
    } else {
      std::cerr << Line(outcome) << std::endl;
    }
    if (!outcome.status.ok()) return outcome.Told();
    if (!options.json && outcome.answer != printed) std::cout << outcome.answer << std::endl;
    printed = outcome.answer;
  }
  // In order, so that the server's log does not say that its client was lost.
  if (session->has_value()) (*session)->Close().IgnoreError();
  return absl::OkStatus();
}

}  // namespace memod
