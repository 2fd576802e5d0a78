// A tenant's topics as a broker is told of them, shortest form: a family whose topics agree is one rule, others are one
// each, exact names first, for the first rule that matches counts. Used by every runner.
#pragma once

#include <string>
#include <vector>

#include "scenarios/plan/plan.hpp"

namespace portolan::plan {

struct TopicRule {
  std::string filter;
  std::uint8_t lane = 2;
  Ns retain_ns = 0;
  std::uint64_t retain_bytes = 0;
};
std::vector<TopicRule> topic_rules(const Plan& plan, Index tenant);

}  // namespace portolan::plan
