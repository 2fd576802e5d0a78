// From a scenario file to a plan. The language is described in scenarios/README.md and scenario.schema.json; the same
// file and seed give the same plan on any machine. Used by `portolan-plan` and by tests.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "scenarios/plan/plan.hpp"

namespace portolan::compile {

// The text of scenario.schema.json and of the calibration used when a scenario names none.
extern const std::string_view scenario_schema_text;
extern const std::string_view placeholder_calibration_text;

struct Options {
  std::optional<std::uint64_t> seed;  // in place of the scenario's
};

struct Compiled {
  std::optional<plan::Plan> plan;     // absent when there are errors
  std::vector<std::string> messages;  // "file:line:column: key: what", errors and warnings, in the file's order
};
Compiled compile_file(const std::string& path, const Options& options);

// What the plan will cost to run, predicted from its loads, paths and calibration.
struct BrokerCost {
  plan::Index process = 0;
  double datagrams_per_second = 0;  // in and out
  double cpu_share = 0;             // of one core
};
struct Cost {
  double messages_per_second = 0;  // published, mean over the run
  double deliveries_per_second = 0;
  double deliveries = 0;                 // in all
  double link_deadlines_per_second = 0;  // datagrams that the link models must deliver in time, each link counted
  std::vector<BrokerCost> brokers;       // busiest first
};
// `folder` is the scenario's, with its slash, for replayed files.
Cost predict_cost(const plan::Plan& plan, const std::string& folder);
// A few lines for people.
std::string show_cost(const plan::Plan& plan, const Cost& cost);

}  // namespace portolan::compile
