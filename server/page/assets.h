// The page's files, compiled in: page.html with its {{places}}, page.css, page.js, icon.svg.
#pragma once

#include <string_view>

namespace memod::page {

extern const std::string_view kHtml;
extern const std::string_view kCss;
extern const std::string_view kJs;
extern const std::string_view kIcon;

}  // namespace memod::page
