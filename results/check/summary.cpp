// summary.json: one document that says what came out, for people's tools; keys sorted, times in nanoseconds.
#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "results/check/output.hpp"

namespace portolan::check {

using nlohmann::json;

namespace {

constexpr std::size_t kMaxTopics = 5'000;  // listed one by one; families always are
constexpr std::size_t kMaxMarks = 5'000;
constexpr std::size_t kMaxLinks = 10'000;

json of(const Spread& s) {
  return {{"count", s.count}, {"min_ns", s.min},   {"p50_ns", s.p50}, {"p90_ns", s.p90},
          {"p99_ns", s.p99},  {"p999_ns", s.p999}, {"max_ns", s.max}, {"mean_ns", s.mean}};
}

json of(const Counts& c) {
  return {{"published", c.published},
          {"accepted", c.accepted},
          {"refused", c.refused},
          {"received", c.received},
          {"unanswered", c.unanswered},
          {"owed", c.owed},
          {"delivered", c.delivered},
          {"deliveries", c.deliveries},
          {"gaps", c.gaps},
          {"lost", c.lost},
          {"undecided", c.undecided},
          {"excused", c.excused},
          {"died", c.died},
          {"duplicates", c.duplicates},
          {"disorder", c.disorder},
          {"busy", c.busy}};
}

json of_parts(const Ns (&parts)[kParts]) {
  json out = json::object();
  for (int i = 0; i < kParts; ++i) out[std::string(kPartNames[i]) + "_ns"] = parts[i];
  return out;
}

json shares(const Ns (&parts)[kParts]) {
  Ns sum = 0;
  for (const Ns p : parts) sum += p;
  json out = json::object();
  for (int i = 0; i < kParts; ++i) out[kPartNames[i]] = sum > 0 ? parts[i] * 1000 / sum : 0;
  return out;
}

json of(const Checked& c, const Family& f) {
  return {{"family", f.name},
          {"tenant", c.run.plan.tenants[f.tenant].name},
          {"class", f.klass},
          {"topics", f.topics},
          {"counts", of(f.counts)},
          {"floor_min_ns", f.floor_min},
          {"floor_max_ns", f.floor_max},
          {"latency", of(f.latency)},
          {"above_floor", of(f.above)},
          {"split",
           {{"count", f.splits},
            {"mean", of_parts(f.part_mean)},
            {"share_permille", shares(f.part_mean)},
            {"count_at_p99", f.splits_at_p99},
            {"mean_at_p99", of_parts(f.part_at_p99)},
            {"share_at_p99_permille", shares(f.part_at_p99)}}},
          {"repaired", of(f.repaired)}};
}

json of(const Finding& f) {
  json out = {{"rule", name_of(f.rule)},
              {"verdict", name_of(f.verdict)},
              {"what", f.what},
              {"where", f.where},
              {"count", f.count},
              {"examples", f.examples},
              {"invariant", f.invariant != Invariant::no}};
  if (f.measured) out["measured"] = *f.measured;
  if (f.limit) out["limit"] = *f.limit;
  if (f.by) out["by"] = *f.by;
  return out;
}

json rules(const Checked& c) {
  json out = json::array();
  for (std::size_t i = 0; i < kRules; ++i) {
    const auto rule = static_cast<Rule>(i);
    const bool judged = c.judgement.applicable(rule);
    out.push_back({{"rule", name_of(rule)},
                   {"title", title_of(rule)},
                   {"verdict", judged ? name_of(c.judgement.verdict_of(rule)) : std::string_view("not judged")}});
  }
  return out;
}

json expectations(const Checked& c) {
  json out = json::array();
  for (const Measured& m : c.expectations) {
    json e = {{"name", m.name},   {"where", m.where}, {"unit", m.unit},
              {"limit", m.limit}, {"by", m.by},       {"verdict", name_of(m.verdict)}};
    e["measured"] = m.measured ? json(*m.measured) : json(nullptr);
    if (m.expectation != nullptr) {
      e["filter"] = m.expectation->filter;
      e["percentile_permyriad"] = m.expectation->percentile_permyriad;
      if (m.expectation->tenant != plan::kNone) e["tenant"] = c.run.plan.tenants[m.expectation->tenant].name;
    }
    out.push_back(std::move(e));
  }
  return out;
}

std::string_view kind_name(plan::FaultKind kind) {
  static constexpr std::string_view names[] = {"cut",   "degrade",    "partition",    "kill",        "restart",
                                               "pause", "clock_skew", "corrupt_disk", "lose_control"};
  return names[static_cast<std::size_t>(kind)];
}

json faults(const Checked& c) {
  json out = json::array();
  const auto maybe = [](const std::optional<Ns>& v) { return v ? json(*v) : json(nullptr); };
  for (const FaultReport& f : c.statistics.faults) {
    const plan::Fault& fault = c.run.plan.faults[f.index];
    out.push_back({{"index", f.index},
                   {"name", fault.name},
                   {"kind", kind_name(fault.kind)},
                   {"on_ns", maybe(f.on)},
                   {"off_ns", maybe(f.off)},
                   {"held_up_streams", f.streams},
                   {"missing", f.missing},
                   {"worst_latency_ns", f.worst_latency},
                   {"recovery_ns", maybe(f.recovery)}});
  }
  return out;
}

json repair(const Checked& c) {
  const RepairReport& r = c.statistics.repair;
  json out = {{"repair_bytes", r.repair_bytes},     {"repair_datagrams", r.repair_datagrams},
              {"lost_bytes", r.lost_bytes},         {"lost_packets", r.lost_packets},
              {"impaired_bytes", r.impaired_bytes}, {"impaired_packets", r.impaired_packets}};
  out["ratio_permille"] = r.lost_bytes > 0 ? json(r.repair_bytes * 1000 / r.lost_bytes) : json(nullptr);
  return out;
}

json by_tenant(const Checked& c) {
  json out = json::array();
  for (Index t = 0; t < c.run.plan.tenants.size(); ++t) {
    Counts sum;
    std::vector<Ns> latency, above;
    for (const Family& f : c.statistics.families) {
      if (f.tenant != t) continue;
      sum.add(f.counts);
      latency.insert(latency.end(), f.sorted_latency.begin(), f.sorted_latency.end());
      above.insert(above.end(), f.sorted_above.begin(), f.sorted_above.end());
    }
    out.push_back({{"tenant", c.run.plan.tenants[t].name},
                   {"counts", of(sum)},
                   {"latency", of(Spread::of(latency))},
                   {"above_floor", of(Spread::of(above))}});
  }
  return out;
}

json topics(const Checked& c) {
  json out = json::array();
  for (Index t = 0; t < c.run.plan.topics.size() && t < kMaxTopics; ++t) {
    const plan::Topic& topic = c.run.plan.topics[t];
    out.push_back({{"topic", topic.name},
                   {"tenant", c.run.plan.tenants[topic.tenant].name},
                   {"family", c.statistics.families[c.statistics.family_of_topic[t]].name},
                   {"counts", of(c.delivery->by_topic()[t])}});
  }
  return out;
}

json marks(const Checked& c) {
  json out = json::array();
  for (const Mark& m : c.audit.marks) {
    if (out.size() == kMaxMarks) break;
    out.push_back({{"process", m.process}, {"name", m.name}, {"used", m.used}, {"bound", m.bound}});
  }
  return out;
}

json links(const Checked& c) {
  json out = json::array();
  for (const LinkWay& w : c.links) {
    if (out.size() == kMaxLinks) break;
    out.push_back({{"link", c.run.plan.links[w.link].name},
                   {"way", w.reverse ? "b_to_a" : "a_to_b"},
                   {"packets", w.packets},
                   {"bytes", w.bytes},
                   {"carried_bytes", w.carried},
                   {"utilisation_permille", w.mean_permille()},
                   {"utilisation_peak_permille", w.peak_permille()},
                   {"peak_bps", w.peak_bps()},
                   {"queue_bytes_max", w.queue_bytes_max},
                   {"queueing_max_ns", w.queueing_max},
                   {"dropped", w.dropped},
                   {"dropped_bytes", w.dropped_bytes}});
  }
  return out;
}

json versions(const Checked& c) {
  if (c.versions.empty()) return nullptr;
  json parsed = json::parse(c.versions, nullptr, false);
  return parsed.is_discarded() ? json(nullptr) : parsed;
}

Counts totals(const Checked& c) {
  Counts sum;
  for (const Counts& counts : c.delivery->by_topic()) sum.add(counts);
  return sum;
}

}  // namespace

std::string summary_json(const Checked& c) {
  json out = {{"version", 1},
              {"name", c.run.plan.name},
              {"title", c.run.plan.title},
              {"verdict", name_of(c.judgement.verdict())},
              {"exit", static_cast<int>(c.judgement.exit_code())},
              {"invariant_broken", c.judgement.invariant_broken()},
              {"seed", c.run.plan.seed},
              {"trace_hash", fmt::format("{:016x}", c.audit.run_trace)},
              {"duration_ns", c.run.plan.duration_ns},
              {"end_ns", c.timeline->end()},
              {"rules", rules(c)},
              {"expectations", expectations(c)},
              {"totals", of(totals(c))},
              {"families", json::array()},
              {"tenants", by_tenant(c)},
              {"topics", topics(c)},
              {"faults", faults(c)},
              {"repair", repair(c)},
              {"counters", c.audit.totals},
              {"high_water", marks(c)},
              {"links", links(c)},
              {"versions", versions(c)}};
  out["reasons"] = json::array();
  for (const Finding& f : c.judgement.findings()) out["reasons"].push_back(of(f));
  for (const Family& f : c.statistics.families) out["families"].push_back(of(c, f));
  out["fidelity_measured"] = {{"measured", c.audit.fidelity},
                              {"publish_lateness", of(c.statistics.lateness)},
                              {"splits", c.audit.splits},
                              {"unsplit", c.audit.unsplit}};
  // How it ran, where the runner said so.
  for (const auto& [key, value] : c.audit.ran) out[key] = value;
  out["clock_uncertainty_ns"] = c.run.uncertainty();
  out["records"] = {{"files", c.run.files.size()}, {"rows", c.run.rows()},
                    {"bytes", c.run.bytes()},      {"unknown_rows", c.run.unknown_rows()},
                    {"packets", c.audit.packets},  {"verdicts", c.audit.verdicts}};
  const json& v = out["versions"];
  const auto from_versions = [&](const char* key) {
    return v.is_object() && v.contains(key) ? v[key] : json::object();
  };
  out["sha256"] = {{"plan", c.run.plan_sha256},
                   {"scenario", c.run.plan.scenario_sha256},
                   {"calibration", c.run.plan.calibration.sha256},
                   {"binaries", from_versions("binaries")},
                   {"bpf", from_versions("bpf")}};
  return out.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

std::string summary_json(const Error& error) {
  const bool undecided = error.code == Exit::inconclusive;
  json reason = {{"rule", "records"},
                 {"verdict", "inconclusive"},
                 {"what", "the run cannot be judged"},
                 {"where", error.place},
                 {"count", 1},
                 {"examples", {error.cause}},
                 {"invariant", false}};
  json out = {{"version", 1},
              {"verdict", undecided ? "inconclusive" : "error"},
              {"exit", static_cast<int>(error.code)},
              {"invariant_broken", false},
              {"reasons", {reason}}};
  return out.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

std::string text(const Checked& c) {
  static constexpr std::string_view words[] = {"HELD", "FAILED", "INCONCLUSIVE"};
  std::string out = fmt::format("{}  {}  seed {}\n", words[static_cast<std::size_t>(c.judgement.verdict())],
                                c.run.plan.name, c.run.plan.seed);
  for (const Finding& f : c.judgement.findings()) {
    out += fmt::format("{} {}: {}{}{}", name_of(f.rule), name_of(f.verdict), f.what, f.where.empty() ? "" : " at ",
                       f.where);
    out += f.count > 1 ? fmt::format(", {} times\n", f.count) : "\n";
    for (const std::string& example : f.examples) out += fmt::format("    {}\n", example);
  }
  const Counts t = totals(c);
  out += fmt::format(
      "published {}, accepted {}, refused {}; owed {}, delivered {}, gaps {}, lost {}, twice {}, out of order {}\n",
      t.published, t.accepted, t.refused, t.owed, t.delivered, t.gaps, t.lost, t.duplicates, t.disorder);
  return out;
}

Expected<void> write_file(const std::string& path, const std::string& data) {
  const std::string beside = path + ".part";
  std::ofstream out(beside, std::ios::binary | std::ios::trunc);
  out << data;
  out.close();
  if (!out || std::rename(beside.c_str(), path.c_str()) != 0) {
    std::remove(beside.c_str());
    return fail(Exit::cannot, path, "cannot be written; free some space, or choose another folder");
  }
  return {};
}

}  // namespace portolan::check
