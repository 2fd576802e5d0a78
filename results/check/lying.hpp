// How the checker's tests lie about an honest run, and what the checker says of it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "results/check/check.hpp"
#include "results/check/output.hpp"
#include "results/testdata/honest_run.hpp"

namespace portolan::check {

using honest::kMs;
using honest::kSecond;
using honest::LogicalFile;
using honest::LogicalRow;
using honest::Run;
using record::Kind;

inline const std::string kDesk = "berlin/blue/desk";
inline const std::string kPilot = "hamburg/blue/pilot";
inline const std::string kShip = "rotterdam/blue/ship1";
inline const std::string kCrane = "hamburg/blue/crane";

struct Outcome {
  int code = 0;
  std::vector<Rule> rules;
  std::string said;
  bool names(Rule rule) const { return std::find(rules.begin(), rules.end(), rule) != rules.end(); }
};

inline Outcome outcome_of(const std::string& folder) {
  auto checked = check_run(folder, {});
  if (!checked) return {static_cast<int>(checked.error().code), {Rule::records}, checked.error().text()};
  Outcome out{static_cast<int>((*checked)->judgement.exit_code()), {}, text(**checked)};
  for (const Finding& f : (*checked)->judgement.findings()) out.rules.push_back(f.rule);
  return out;
}

inline std::string scratch(const std::string& name) {
  const std::string folder = ::testing::TempDir() + "/lie." + name;
  std::filesystem::remove_all(folder);
  return folder;
}

inline void erase_at(LogicalFile& f, std::size_t at) {
  f.rows.erase(f.rows.begin() + static_cast<std::ptrdiff_t>(at));
}

// Takes a delivery away from a client, so that neither its engine nor its host ever saw it.
inline void drop_delivery(Run& run, const std::string& client, const std::function<bool(const LogicalRow&)>& which) {
  LogicalFile& app = run.app(client);
  LogicalFile& audit = run.audit(client);
  const auto hit = [&](const LogicalRow& r) { return (r.kind == Kind::deliver || r.kind == Kind::split) && which(r); };
  const auto delivered = static_cast<std::int64_t>(std::count_if(app.rows.begin(), app.rows.end(), hit));
  std::erase_if(app.rows, hit);
  std::erase_if(audit.rows, hit);
  run.count(client, 1, "delivered", -delivered);
}

inline Outcome outcome_of(const Run& run, const std::string& name) {
  const std::string folder = scratch(name);
  run.write(folder);
  Outcome o = outcome_of(folder);
  std::filesystem::remove_all(folder);
  return o;
}

// Tells a gap of this reason in place of a delivery, and counts it wherever it is counted; returns its
// sequence.
inline std::uint64_t tell_gap(Run& run, const std::string& client, const std::string& topic, Ns after,
                              std::uint32_t reason) {
  LogicalFile& app = run.app(client);
  std::uint64_t told_of = 0;
  for (const std::size_t at : app.find(Kind::deliver)) {
    if (app.rows[at].topic != topic || app.rows[at].row.time_ns < after) continue;
    LogicalRow gap = app.rows[at];
    const std::uint64_t sequence = told_of = gap.row.sequence;
    gap.kind = Kind::gap;
    gap.row.last = sequence;
    gap.row.code = reason;
    gap.row.hash = gap.row.value = 0;
    drop_delivery(run, client, [&](const LogicalRow& r) { return r.topic == topic && r.row.sequence == sequence; });
    app.rows.insert(app.rows.begin() + static_cast<std::ptrdiff_t>(at), gap);
    break;
  }
  run.count(client, 1, "gaps", 1);
  run.count(client, 1, "gap_messages", 1);
  const Index broker = run.plan.processes[honest::process(run.plan, client)].broker;
  LogicalFile& audit = run.audit(run.plan.processes[broker].name);
  LogicalRow told = audit.nth(Kind::counter, 0);
  told.text = "gaps_told";
  told.row.code = reason;
  told.row.value = 1;
  audit.rows.insert(audit.rows.end() - 1, told);
  return told_of;
}

}  // namespace portolan::check
