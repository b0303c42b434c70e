#include "memod/client/memoctl/argument.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "memod/client/memoctl/misuse.h"

namespace memod {
namespace {

int CloseFile(FILE* file) { return file == stdin ? 0 : std::fclose(file); }

bool IsNameChar(char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.'; }

absl::StatusOr<std::pair<std::string, std::string>> ParseEntry(const std::string& entry) {
  const auto fail = [&entry](auto... why) {
    // Its name only: the value may be a secret.
    const std::string name = entry.substr(0, entry.find_first_of(":="));
    return Misuse(absl::StrCat("metadata \"", name, "\": ", why...));
  };
  const size_t separator = entry.find_first_of(":=");
  if (separator == std::string::npos || separator == 0) return fail("is no NAME=VALUE");
  std::string name = absl::AsciiStrToLower(entry.substr(0, separator));
  if (!std::all_of(name.begin(), name.end(), IsNameChar)) {
    return fail("a name has letters, digits and -_. only");
  }
  if (name == "memo-session") {
    return fail("a secret, which others see on a command line: use MEMO_SESSION or --session-file");
  }
  if (absl::StartsWith(name, "grpc-")) return fail("names in grpc- are gRPC's own");
  std::string value = entry.substr(separator + 1);
  if (entry[separator] == ':') absl::StripLeadingAsciiWhitespace(&value);
  if (absl::EndsWith(name, "-bin")) {
    std::string bytes;
    if (!absl::Base64Unescape(value, &bytes)) return fail("the value of a -bin name is base64");
    value = std::move(bytes);
  } else if (!std::all_of(value.begin(), value.end(), absl::ascii_isprint)) {
    return fail("the value has printable ASCII only; others go under a name in -bin, as base64");
  }
  return std::make_pair(std::move(name), std::move(value));
}

}  // namespace

absl::StatusOr<std::string> ReadArgument(const std::string& argument) {
  if (argument.empty() || argument[0] != '@') return argument;
  const std::string path = argument.substr(1);
  const auto fail = [&path] {
    return Misuse(absl::StrCat("cannot read ", path, ": ", std::generic_category().message(errno)));
  };
  const std::unique_ptr<FILE, int (*)(FILE*)> file(
      path == "-" ? stdin : std::fopen(path.c_str(), "rb"), &CloseFile);
  if (file == nullptr) return fail();
  std::string text;
  char part[65536];
  for (size_t size; (size = std::fread(part, 1, sizeof part, file.get())) > 0;) {
    text.append(part, size);
  }
  if (std::ferror(file.get())) return fail();
  return text;
}

absl::StatusOr<Metadata> ParseMetadata(const std::vector<std::string>& entries) {
  Metadata metadata;
  for (const std::string& entry : entries) {
    auto parsed = ParseEntry(entry);
    if (!parsed.ok()) return parsed.status();
    metadata.push_back(*std::move(parsed));
  }
  return metadata;
}

}  // namespace memod
