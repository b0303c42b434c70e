#include "memod/client/memoctl/watch_command.h"

#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "memod/client/memoctl/poller.h"
#include "memod/client/memoctl/screen.h"
#include "memod/client/memoctl/table.h"

namespace memod {
namespace {

using Answer = absl::StatusOr<std::string>;

std::string TextOf(const Answer& answer) {
  if (answer.ok()) return *answer;
  return absl::StrCat(absl::StatusCodeToString(answer.status().code()), ": ",
                      Printable(std::string(answer.status().message())), "\n");
}

void WatchOnScreen(AdminPort& admin, absl::Duration interval, const std::string& title,
                   const std::function<Answer()>& command, Answer answer) {
  Poller<Answer> poller(interval, command, [&admin] { admin.Cancel(); });
  Screen screen;
  absl::Time when = absl::Now();
  while (true) {
    screen.Draw(absl::StrCat("every ", absl::FormatDuration(interval), ": ", title, "   ",
                             absl::FormatTime("%H:%M:%S", when, absl::LocalTimeZone()),
                             "   q quit\n\n", TextOf(answer)));
    switch (screen.Wait(poller.ready())) {
      case Screen::Event::kQuit:
        return;
      case Screen::Event::kReady:
        if (auto next = poller.Take(); next.has_value()) {
          answer = *std::move(next);
          when = absl::Now();
        }
        break;
      case Screen::Event::kKey:
      case Screen::Event::kResize:
        break;
    }
  }
}

}  // namespace

absl::Status Watch(AdminPort& admin, const CommandOptions& options, absl::Duration interval,
                   const std::string& title, const std::function<Answer()>& command) {
  Answer answer = command();
  if (!answer.ok()) return answer.status();
  if (Screen::IsThere() && !options.json) {
    WatchOnScreen(admin, interval, title, command, std::move(answer));
    return absl::OkStatus();
  }
  while (std::cout << (answer.ok() ? *answer : "") << std::flush) {
    if (!answer.ok()) std::cerr << "memoctl: " << TextOf(answer) << std::flush;
    absl::SleepFor(interval);
    answer = command();
  }
  return absl::OkStatus();
}

}  // namespace memod
