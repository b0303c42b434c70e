// `memoctl top` as text.
#pragma once

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "memod/client/memoctl/screen.h"
#include "memod/client/memoctl/top_figures.h"

namespace memod {

struct TopView {
  // The order of sessions.
  enum class Sort { kBytes, kCalls, kAge };

  std::string address;  // of the server that is shown
  absl::Duration interval;
  Sort sort = Sort::kBytes;
  bool colors = false;
  std::string trouble;  // why there are no newer figures; empty: there are
  // Of the terminal. Unset: as large as it takes, and no help on keys.
  std::optional<Screen::Size> size;
};

std::string TopText(const TopFigures& figures, const TopView& view);

}  // namespace memod
