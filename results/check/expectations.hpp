// The scenario's expectations: each measured, and by how much it failed.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "results/check/links.hpp"
#include "results/check/statistics.hpp"

namespace portolan::check {

struct Measured {
  const plan::Expectation* expectation = nullptr;  // null: the default "gaps at most 0" of a topic that none names
  std::string name, where, unit;                   // unit: "count", "ns", "permille" or "ppm"
  std::optional<std::int64_t> measured;            // nothing: not measurable in this run
  std::int64_t limit = 0;
  std::int64_t by = 0;  // how far beyond the limit; 0 when held
  Verdict verdict = Verdict::held;
};

std::vector<Measured> judge_expectations(const RunFiles& run, const std::vector<Subscriber>& subscribers,
                                         const DeliveryJudge& delivery, const std::vector<LinkWay>& links,
                                         const Audit& audit, const Statistics& statistics, Judgement& judgement);

}  // namespace portolan::check
