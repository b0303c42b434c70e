// The page for people at the admin's HTTP port: complete without scripts, live with them.
//
// The page is made here and nowhere else. Its script asks for it again and again, and takes over
// what has changed.
#pragma once

#include <string>

#include "memo/v1/admin.pb.h"

namespace memod::page {

// Sessions on one page.
inline constexpr int kSessions = 100;

struct Content {
  bool serving = true;  // else it is stopping
  memo::v1::AdminServiceGetCacheInfoResponse info;
  memo::v1::ListSessionsResponse sessions;
  memo::v1::ListUpstreamsResponse upstreams;  // if there are none, nothing is said of them
  bool first = true;                          // whether these are the first sessions
};

// HTML, whatever the texts in `content` are.
std::string Html(const Content& content);

// What a browser may do with it: no scripts, styles or requests but our own.
inline constexpr char kSecurityPolicy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

}  // namespace memod::page
