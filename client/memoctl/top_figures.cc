#include "memod/client/memoctl/top_figures.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "memo/json.h"

namespace memod {
namespace {

using memo::v1::CacheInfo;
using Json = nlohmann::ordered_json;

double Ratio(double part, double whole) { return whole > 0 ? part / whole : 0; }

// What came to a counter that begins anew when it is cleared.
double Grown(int64_t before, int64_t now) {
  return static_cast<double>(now < before ? now : now - before);
}

TopRow RowOf(std::string name, const CacheInfo& before, const CacheInfo& now, double seconds) {
  TopRow row;
  row.name = std::move(name);
  row.info = now;
  const double hits = Grown(before.hits(), now.hits());
  row.hits_per_second = Ratio(hits, seconds);
  row.calls_per_second = Ratio(hits + Grown(before.misses(), now.misses()), seconds);
  row.computations_per_second = Ratio(Grown(before.computations(), now.computations()), seconds);
  row.hit_ratio =
      Ratio(static_cast<double>(now.hits()), static_cast<double>(now.hits() + now.misses()));
  row.mean_compute_seconds = Ratio(now.compute_seconds(), static_cast<double>(now.computations()));
  return row;
}

Json JsonOf(const google::protobuf::Message& message) { return Json::parse(ToJson(message)); }

Json JsonOf(const char* name, const TopRow& row) {
  Json json;
  if (*name != '\0') json[name] = row.name;
  json["calls_per_second"] = row.calls_per_second;
  json["hits_per_second"] = row.hits_per_second;
  json["computations_per_second"] = row.computations_per_second;
  json["hit_ratio"] = row.hit_ratio;
  json["mean_compute_seconds"] = row.mean_compute_seconds;
  json["info"] = JsonOf(row.info);
  return json;
}

}  // namespace

TopFigures Compare(const TopSample& before, const TopSample& now) {
  TopFigures figures;
  figures.seconds = absl::ToDoubleSeconds(now.time - before.time);
  figures.gauges = now.info.gauges();
  figures.total = RowOf("", before.info.total(), now.info.total(), figures.seconds);

  std::map<std::string, const CacheInfo*> former;
  const auto find = [&former](const std::string& name) -> const CacheInfo& {
    const auto found = former.find(name);
    return found == former.end() ? CacheInfo::default_instance() : *found->second;
  };
  for (const auto& method : before.info.methods()) former[method.method()] = &method.info();
  for (const auto& method : now.info.methods()) {
    figures.methods.push_back(
        RowOf(method.method(), find(method.method()), method.info(), figures.seconds));
  }
  std::stable_sort(figures.methods.begin(), figures.methods.end(),
                   [](const TopRow& a, const TopRow& b) {
                     return a.mean_compute_seconds > b.mean_compute_seconds;
                   });

  former.clear();
  for (const auto& session : before.sessions) former[session.session_id()] = &session.total();
  for (const auto& session : now.sessions) {
    TopRow row =
        RowOf(session.session_id(), find(session.session_id()), session.total(), figures.seconds);
    row.state_type = session.state_type();
    row.age = static_cast<double>(session.age().seconds()) + session.age().nanos() / 1e9;
    figures.sessions.push_back(std::move(row));
  }
  return figures;
}

std::string TopJson(const TopFigures& figures, int indent) {
  Json json;
  json["seconds"] = figures.seconds;
  json["gauges"] = JsonOf(figures.gauges);
  json["total"] = JsonOf("", figures.total);
  json["methods"] = Json::array();
  for (const TopRow& row : figures.methods) json["methods"].push_back(JsonOf("method", row));
  json["sessions"] = Json::array();
  for (const TopRow& row : figures.sessions) {
    Json session = JsonOf("session_id", row);
    session["state_type"] = row.state_type;
    session["age"] = row.age;
    json["sessions"].push_back(std::move(session));
  }
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace memod
