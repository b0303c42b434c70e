// Names for the shell's completion that only the server knows.
#pragma once

#include <string>
#include <vector>

namespace memod {

// `value`: "METHOD", "SESSION" or "TYPE". The server is that of the words' --admin, else of the
// environment's MEMOCTL_ADMIN, else `admin`; so is how to connect to it. Nothing where it does not answer within half a second:
// a user who presses Tab wants no error.
std::vector<std::string> NamesFor(const std::string& value, const std::vector<std::string>& words,
                                  const std::string& admin);

}  // namespace memod
