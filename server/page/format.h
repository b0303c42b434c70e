// Figures and text as people read them on the page, as HTML. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace memod::page {

// As text and within a quoted attribute of HTML.
std::string Escape(std::string_view text);

std::string Count(int64_t n);         // "1,234,567"
std::string Bytes(int64_t bytes);     // "512 B", "1.2 KiB"
std::string Seconds(double seconds);  // "0 s", "350 µs", "12 ms", "3.4 s", "5 min 20 s", "3 d 4 h"
std::string Age(double seconds);      // in whole seconds: "&lt;1 s", "46 s", "5 min 20 s"
std::string Share(int64_t part, int64_t whole);  // "98.3 %"; of nothing: "–"

}  // namespace memod::page
