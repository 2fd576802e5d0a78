// Judges one run: opens it, builds the timeline, reads publishers and subscribers, applies every rule, makes the
// figures. Reads the run directory and nothing else; knows nothing of the broker.
#pragma once

#include <memory>
#include <string>

#include "results/check/expectations.hpp"
#include "results/check/links.hpp"

namespace portolan::check {

struct CheckOptions {
  std::string other;  // run directory of the same seed for rule 12; "" without
};

// Everything that summary, series and JUnit are written from. Parts refer to each other: neither copied nor moved.
struct Checked {
  RunFiles run;
  Judgement judgement;
  std::unique_ptr<load::Workload> workload;
  std::unique_ptr<Timeline> timeline;
  std::unique_ptr<Ledger> ledger;
  std::vector<Subscriber> subscribers;
  std::unique_ptr<DeliveryJudge> delivery;
  Audit audit;
  std::vector<LinkWay> links;
  Statistics statistics;
  std::vector<Measured> expectations;
  std::string versions;   // versions.json as it is, or ""
  bool compared = false;  // with another run, rule 12
};

// An error where there is nothing to judge (64, 69, or 2).
Expected<std::unique_ptr<Checked>> check_run(const std::string& folder, const CheckOptions& options);

}  // namespace portolan::check
