#include "memod/client/memoctl/top_command.h"

#include <algorithm>
#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "memod/client/memoctl/poller.h"
#include "memod/client/memoctl/screen.h"
#include "memod/client/memoctl/top_figures.h"
#include "memod/client/memoctl/top_view.h"

namespace memod {
namespace {

using Sample = absl::StatusOr<TopSample>;
using Sort = TopView::Sort;

absl::StatusOr<TopSample> TakeSample(AdminPort& admin) {
  TopSample sample;
  sample.time = absl::Now();
  auto info = admin.Ask(&memo::v1::AdminService::Stub::GetCacheInfo,
                        memo::v1::AdminServiceGetCacheInfoRequest());
  if (!info.ok()) return info.status();
  sample.info = *std::move(info);
  auto sessions = AskForSessions(admin);
  if (!sessions.ok()) return sessions.status();
  for (auto& session : *sessions->mutable_sessions()) sample.sessions.push_back(std::move(session));
  return sample;
}

absl::Status TopOnce(AdminPort& admin, const CommandOptions& options, const TopView& view,
                     const TopSample& first) {
  absl::SleepFor(view.interval);
  const Sample second = TakeSample(admin);
  if (!second.ok()) return second.status();
  const TopFigures figures = Compare(first, *second);
  std::cout << (options.json ? TopJson(figures, options.json_indent) + "\n"
                             : TopText(figures, view));
  return absl::OkStatus();
}

Sort Next(Sort sort) {
  switch (sort) {
    case Sort::kBytes:
      return Sort::kCalls;
    case Sort::kCalls:
      return Sort::kAge;
    case Sort::kAge:
      return Sort::kBytes;
  }
  return Sort::kBytes;
}

void OnKey(char key, TopView& view) {
  if (key == 's') view.sort = Next(view.sort);
  if (key == '+') view.interval = std::min(view.interval * 2, kMaxInterval);
  if (key == '-') view.interval = std::max(view.interval / 2, kMinInterval);
}

// `last`: the newest sample, replaced by a newer one. Figures stay as they are if that failed.
void Advance(Sample newer, TopSample& last, TopFigures& figures, TopView& view) {
  view.trouble = newer.ok() ? ""
                            : absl::StrCat(absl::StatusCodeToString(newer.status().code()), ": ",
                                           std::string(newer.status().message()));
  if (!newer.ok()) return;
  figures = Compare(last, *newer);
  last = *std::move(newer);
}

void TopOnScreen(AdminPort& admin, TopView view, TopSample last) {
  Poller<Sample> poller(
      view.interval, [&admin] { return TakeSample(admin); }, [&admin] { admin.Cancel(); });
  Screen screen;
  view.colors = Screen::HasColors();
  TopFigures figures = Compare(last, last);
  while (true) {
    view.size = screen.size();
    screen.Draw(TopText(figures, view));
    switch (screen.Wait(poller.ready())) {
      case Screen::Event::kQuit:
        return;
      case Screen::Event::kReady:
        if (auto newer = poller.Take(); newer.has_value()) {
          Advance(*std::move(newer), last, figures, view);
        }
        break;
      case Screen::Event::kKey:
        OnKey(screen.key(), view);
        poller.set_interval(view.interval);
        break;
      case Screen::Event::kResize:
        break;
    }
  }
}

}  // namespace

absl::Status Top(AdminPort& admin, const CommandOptions& options, absl::Duration interval,
                 bool once) {
  Sample first = TakeSample(admin);
  if (!first.ok()) return first.status();
  TopView view;
  view.address = admin.address();
  view.interval = interval;
  if (once || options.json || !Screen::IsThere()) return TopOnce(admin, options, view, *first);
  TopOnScreen(admin, std::move(view), *std::move(first));
  return absl::OkStatus();
}

}  // namespace memod
