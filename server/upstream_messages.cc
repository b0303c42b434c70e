#include "memod/server/upstream_messages.h"

#include <atomic>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memod/server/logging.h"
#include "memod/server/message_key.h"

namespace memod {
namespace {

constexpr std::chrono::seconds kPatience(10);

// Looks whether an upstream's messages are still what the keys of its methods know.
void Compare(const ProtoFiles& before, const ProtoFiles& now,
             const std::vector<const Method*>& methods) {
  for (const Method* method : methods) {
    const auto known = before.FindMethod(method->memo.name);
    const auto said = now.FindMethod(method->memo.name);
    if (!said.ok()) continue;  // it says nothing of it
    const bool outdated = Definition(*(*known)->input_type()) != Definition(*(*said)->input_type());
    if (method->message_outdated->exchange(outdated) == outdated) continue;
    Log(outdated ? LogLevel::warn : LogLevel::info,
        outdated ? "upstream's messages have changed, keys are bytes until memod is started anew"
                 : "upstream's messages are as before, and keys are messages again",
        {{"upstream", method->upstream}, {"method", method->memo.name}});
  }
}

}  // namespace

absl::StatusOr<UpstreamFiles> CheckedDescriptorSets(const Config& config,
                                                    const Registry& registry) {
  auto files = LoadDescriptorSets(config);
  if (!files.ok()) return files.status();
  const auto policies =
      CheckedPolicies(WithImpliedMethods(config, *files, registry), *files, registry);
  if (!policies.ok()) return policies.status();
  return files;
}

absl::StatusOr<UpstreamFiles> KnownFiles(const Config& config, const Registry& registry,
                                         const Upstreams& upstreams) {
  auto known = CheckedDescriptorSets(config, registry);
  if (!known.ok()) return known.status();
  const Time until = Clock::now() + kPatience;
  for (size_t i = 0; i < config.upstreams.size(); ++i) {
    const UpstreamConfig& upstream = config.upstreams[i];
    if ((*known)[i] != nullptr || !NeedsFiles(upstream)) continue;
    auto files = upstreams.types(i).Await(until);
    if (!files.ok()) {
      return absl::UnavailableError(absl::StrCat(
          upstream.where, ": upstream ", upstream.name, " (", upstream.target,
          ") does not say what its methods are, which key.mode = \"message\", key.ignore and ",
          "memoize_no_side_effects need: ", files.status().message(),
          "; with upstream.descriptor_set memod starts without asking it"));
    }
    (*known)[i] = *std::move(files);
  }
  return known;
}

void DescribeMethods(const std::shared_ptr<const ProtoFiles>& files,
                     const std::vector<Method*>& methods, UpstreamTypes& types) {
  std::vector<const Method*> keyed;
  for (Method* method : methods) {
    const auto described = files->FindMethod(method->memo.name);
    if (!described.ok()) continue;
    const auto& type = *(*described)->input_type();
    method->request_type = type.full_name();
    method->response_type = (*described)->output_type()->full_name();
    auto message = MessageKey::Make(type, method->memo.policy.key_ignore, &files->factory());
    if (!message.ok()) continue;
    // Together with the files, which its messages are made by.
    using Kept = std::pair<std::shared_ptr<const ProtoFiles>, MessageKey>;
    const auto kept = std::make_shared<const Kept>(files, *std::move(message));
    method->message = {kept, &kept->second};
    if (method->memo.policy.key_mode != KeyMode::kMessage) continue;
    method->message_outdated = std::make_shared<std::atomic<bool>>(false);
    keyed.push_back(method);
  }
  if (keyed.empty()) return;
  types.Listen([files, keyed](const ProtoFiles& now) { Compare(*files, now, keyed); });
}

}  // namespace memod
