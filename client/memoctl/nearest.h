// What somebody who mistyped a name may have meant.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace memod {

// "; did you mean a?" or "; did you mean a, b or c?": the names that take the fewest keys to reach
// from `unknown`. Where none is near: "; there is a, b, c", the first few of all. Empty if there is
// no name.
std::string Suggestion(std::string_view unknown, std::vector<std::string> names);

}  // namespace memod
