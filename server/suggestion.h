// What somebody may have meant by a name that there is not.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace memod {

// "; did you mean listen?" or, if nothing is near, "; want one of listen, http". `names` is not
// empty; each is shown behind `prefix`, as in "server." or "--".
std::string Suggestion(std::string_view unknown, const std::vector<std::string>& names,
                       std::string_view prefix);

}  // namespace memod
