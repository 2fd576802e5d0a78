// A run as an honest network would leave it, made without a broker: a small closed-form model of latency, outages,
// retention, detach and death writes exactly the rows that RECORDS.md asks for. The checker's tests judge it, and then
// judge it again after lying about one thing. Rows stay in memory, so that a lie can be told consistently (numbers,
// hashes and manifest made to fit) and only the rules can find it.
#pragma once

#include <string>
#include <vector>

#include "results/record/writer.hpp"
#include "scenarios/load/load.hpp"
#include "scenarios/plan/plan.hpp"

namespace portolan::honest {

using plan::Index;
using plan::Ns;

inline constexpr Ns kMs = 1'000'000;
inline constexpr Ns kSecond = 1'000'000'000;

struct LogicalRow {
  record::Kind kind{};
  record::Row row;
  std::string topic, text;
};

struct LogicalFile {
  record::Writer writer{};
  Index process = plan::kNone;
  std::uint32_t incarnation = 0;
  std::string name;
  std::uint32_t clock_domain = 0;
  record::EndCode end = record::EndCode::finished;
  std::vector<LogicalRow> rows;

  std::vector<std::size_t> find(record::Kind kind) const;  // positions
  LogicalRow& nth(record::Kind kind, std::size_t n);
  void erase(record::Kind kind);  // all of them
};

struct Run {
  plan::Plan plan;
  std::vector<LogicalFile> files;
  LogicalFile runner;

  LogicalFile& app(const std::string& process, std::uint32_t incarnation = 1);
  LogicalFile& audit(const std::string& process, std::uint32_t incarnation = 1);
  // Adds to the last value of a counter, as if the host had counted otherwise.
  void count(const std::string& process, std::uint32_t incarnation, const std::string& name, std::int64_t more);
  // plan.json and records/, with strings, numbers, hashes and the manifest as they should be.
  void write(const std::string& folder) const;
};

// Three harbours in a star (hamburg and rotterdam joined at berlin), each with a broker; publishers and subscribers; a
// second tenant with the same topics. 10 s of load, 5 s of drain. Faults and expectations are the caller's to add.
plan::Plan small_plan();
Index process(const plan::Plan& plan, const std::string& name);
plan::Fault cut(const plan::Plan& plan, const std::string& harbour, Ns at, Ns until);
plan::Fault stop(const plan::Plan& plan, plan::FaultKind kind, const std::vector<std::string>& processes, Ns at,
                 Ns until);

Run run_honestly(const plan::Plan& plan);

// A run of anybody's, taken apart so that it can be lied about.
Run read_run(const std::string& folder);

}  // namespace portolan::honest
