#include "memod/server/page/page.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "memod/server/page/assets.h"
#include "memod/server/page/format.h"

namespace memod::page {
namespace {

using memo::v1::CacheInfo;

// A figure that the script draws: its text, and its value as a number.
std::string Figure(const char* id, int64_t value, const std::string& text) {
  return absl::StrCat("<data id=\"figure-", id, "\" value=\"", value, "\">", text, "</data>");
}

std::string Term(const char* name, const std::string& html) {
  return absl::StrCat("    <div><dt>", name, "</dt><dd>", html, "</dd></div>\n");
}

std::string HitRatio(const CacheInfo& info) {
  return Share(info.hits(), info.hits() + info.misses());
}

std::string Glance(const memo::v1::AdminServiceGetCacheInfoResponse& info) {
  const auto& gauges = info.gauges();
  return absl::StrCat(
      Term("Sessions", Figure("sessions", gauges.sessions(), Count(gauges.sessions()))),
      Term("Instances", Count(gauges.instances())), Term("Computing", Count(gauges.flights())),
      Term("Entries", Count(gauges.entries())),
      Term("Bytes", Figure("bytes", gauges.bytes(), Bytes(gauges.bytes()))),
      Term("Hit ratio", HitRatio(info.total())),
      Term("Saved", Seconds(info.total().compute_seconds_saved())));
}

// A dotted name, or a method's: its last part is what people look for.
std::string Name(const std::string& full) {
  const size_t cut = full.find_last_of("./") + 1;  // 0 if there is none
  return absl::StrCat("<span class=\"dim\">", Escape(full.substr(0, cut)), "</span>",
                      Escape(full.substr(cut)));
}

std::string Bound(const CacheInfo& info) {
  if (info.has_maxsize()) return Count(info.maxsize());
  if (!info.policy().has_max_entries()) return "unbounded";
  return absl::StrCat(Count(info.policy().max_entries()), " each");
}

std::string Cells(const std::vector<std::string>& cells) {
  std::string html;
  for (const std::string& cell : cells) absl::StrAppend(&html, "<td>", cell, "</td>");
  return html;
}

// What a computation takes.
std::string Mean(const CacheInfo& info) {
  if (info.computations() == 0) return "–";
  return Seconds(info.compute_seconds() / static_cast<double>(info.computations()));
}

// What follows the hits and the misses in a method's row.
std::string MoreCells(const CacheInfo& info, const std::string& bound) {
  return Cells({HitRatio(info), Count(info.currsize()), bound, Bytes(info.bytes()),
                Count(info.evictions()), Count(info.computations()), Count(info.errors()),
                Mean(info), Seconds(info.compute_seconds_saved())});
}

std::string Row(const std::string& key, const std::string& name, const std::string& cells) {
  return absl::StrCat("        <tr data-key=\"", Escape(key), "\"><th scope=\"row\">", name,
                      "</th>", cells, "</tr>\n");
}

std::string MethodRows(const memo::v1::AdminServiceGetCacheInfoResponse& response) {
  std::string rows;
  for (const auto& method : response.methods()) {
    const CacheInfo& info = method.info();
    absl::StrAppend(&rows, Row(method.method(), Name(method.method()),
                               Cells({Count(info.hits()), Count(info.misses())}) +
                                   MoreCells(info, Bound(info))));
  }
  return rows;
}

std::string TotalRow(const CacheInfo& total) {
  return Row("total", "All methods",
             Cells({Figure("hits", total.hits(), Count(total.hits())),
                    Figure("misses", total.misses(), Count(total.misses()))}) +
                 MoreCells(total, "–"));
}

double Total(const google::protobuf::Duration& age) {
  return static_cast<double>(age.seconds()) + age.nanos() / 1e9;
}

std::string State(const memo::v1::SessionInfo& session) {
  if (session.state_type().empty()) return "–";
  if (session.sharing() <= 1) return Name(session.state_type());
  return absl::StrCat(Name(session.state_type()), ", shared by ", Count(session.sharing()));
}

std::string SessionRow(const memo::v1::SessionInfo& session) {
  const std::string& id = session.session_id();
  const CacheInfo& total = session.total();
  const std::string link =
      absl::StrCat("<a href=\"/cache_info?session=", Escape(id), "\">", Escape(id), "</a>");
  const std::string texts =
      absl::StrCat("<td class=\"text\">", State(session), "</td><td class=\"text\">",
                   Escape(session.peer()), "</td>");
  return Row(id, link,
             absl::StrCat(texts, Cells({Age(Total(session.age())), Count(total.hits()),
                                        Count(total.misses()), HitRatio(total),
                                        Count(total.currsize()), Bytes(total.bytes())})));
}

std::string SessionRows(const Content& content) {
  std::string rows;
  for (const auto& session : content.sessions.sessions()) {
    absl::StrAppend(&rows, SessionRow(session));
  }
  if (!rows.empty()) return rows;
  const char* none = content.first ? "No session is open." : "No session is left on this page.";
  return absl::StrCat("        <tr><td class=\"text\" colspan=\"9\">", none, "</td></tr>\n");
}

std::string UpstreamRow(const memo::v1::UpstreamInfo& upstream) {
  const auto text = [](const std::string& html) {
    return absl::StrCat("<td class=\"text\">", html, "</td>");
  };
  const std::string services = absl::StrJoin(upstream.services(), ", ");
  return Row(
      upstream.name(), Escape(upstream.name()),
      absl::StrCat(text(Escape(upstream.target())),
                   text(services.empty() ? "whatever nobody else serves" : Escape(services)),
                   text(upstream.connected() ? "connected"
                                             : "<strong class=\"lost\">not connected</strong>"),
                   Cells({Age(Total(upstream.state_age())), Count(upstream.calls()),
                          Count(upstream.errors())})));
}

constexpr char kUpstreamsHead[] = R"(<section>
  <h2 id="upstreams-title">Upstreams</h2>
  <div class="scroll" role="region" aria-labelledby="upstreams-title" tabindex="0">
    <table id="upstreams" data-live>
      <caption>The services behind memod; calls that have ended</caption>
      <thead>
        <tr>
          <th scope="col">Upstream</th>
          <th scope="col" class="text">Target</th>
          <th scope="col" class="text">Services</th>
          <th scope="col" class="text">State</th>
          <th scope="col">For</th>
          <th scope="col">Calls</th>
          <th scope="col">Errors</th>
        </tr>
      </thead>
      <tbody>
)";

constexpr char kUpstreamsFoot[] = R"(      </tbody>
    </table>
  </div>
</section>
)";

std::string Upstreams(const memo::v1::ListUpstreamsResponse& response) {
  if (response.upstreams().empty()) return "";
  std::string rows;
  for (const auto& upstream : response.upstreams()) absl::StrAppend(&rows, UpstreamRow(upstream));
  return absl::StrCat(kUpstreamsHead, rows, kUpstreamsFoot);
}

std::string SessionsShown(const Content& content) {
  const int shown = content.sessions.sessions_size();
  const int64_t open = content.info.gauges().sessions();
  if (shown >= open) return "All that are open, oldest first";
  return absl::StrCat(Count(shown), " of ", Count(open), " open, oldest first");
}

std::string Pages(const Content& content) {
  std::string links;
  if (!content.first) absl::StrAppend(&links, "<a href=\"/\">First page</a>");
  if (const std::string& next = content.sessions.next_page_token(); !next.empty()) {
    absl::StrAppend(&links, "<a href=\"/?page_token=", Escape(next), "\">Next page</a>");
  }
  return links;
}

}  // namespace

std::string Html(const Content& content) {
  const std::string state = content.serving ? "serving" : "stopping";
  const int64_t sessions = content.info.gauges().sessions();
  const std::vector<std::pair<std::string, std::string>> places = {
      {"{{title}}", absl::StrCat("memod: ", state, ", ", Count(sessions),
                                 sessions == 1 ? " session" : " sessions")},
      {"{{version}}", MEMOD_VERSION},
      {"{{state}}", state},
      {"{{time}}", absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone())},
      {"{{glance}}", Glance(content.info)},
      {"{{methods}}", MethodRows(content.info)},
      {"{{total}}", TotalRow(content.info.total())},
      {"{{upstreams}}", Upstreams(content.upstreams)},
      {"{{upstreams_link}}", content.upstreams.upstreams().empty()
                                 ? ""
                                 : "      <li><a href=\"/upstreams\">upstreams</a></li>\n"},
      {"{{sessions_shown}}", SessionsShown(content)},
      {"{{sessions}}", SessionRows(content)},
      {"{{pages}}", Pages(content)},
  };
  return absl::StrReplaceAll(std::string(kHtml), places);
}

}  // namespace memod::page
