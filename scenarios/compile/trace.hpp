// Traces that a scenario names. Rate: Mahimahi's format (Netravali et al., USENIX ATC 2015): a millisecond in each
// line, not falling, one 1500-byte delivery opportunity each; the last is the period. Delay: CSV with the head
// `at_ms,delay_ms`.
#pragma once

#include <string_view>
#include <vector>

#include "scenarios/plan/plan.hpp"

namespace portolan::compile {

struct RateTrace {
  std::vector<std::uint32_t> milliseconds;
  plan::Ns period_ns = 0;
};
Expected<RateTrace> read_mahimahi(std::string_view text);

struct DelayTrace {
  std::vector<plan::DelayPoint> points;
  plan::Ns period_ns = 0;  // the last point's time plus the step before it
};
Expected<DelayTrace> read_delay_trace(std::string_view text);

}  // namespace portolan::compile
