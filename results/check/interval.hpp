// Stretches of a run's timeline.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "scenarios/plan/plan.hpp"

namespace portolan::check {

using plan::Index;
using plan::Ns;

inline constexpr Ns kNever = std::numeric_limits<Ns>::max();

struct Interval {
  Ns from = 0;
  Ns to = kNever;  // kNever: it never ended
  Ns length(Ns end) const { return (to == kNever ? end : to) - from; }
  bool overlaps(Ns a, Ns b) const { return from <= b && to >= a; }
};
using Intervals = std::vector<Interval>;  // sorted, disjoint

inline Intervals merged(Intervals in) {
  std::sort(in.begin(), in.end(), [](const Interval& a, const Interval& b) { return a.from < b.from; });
  Intervals out;
  for (const Interval& i : in) {
    if (i.to < i.from) continue;
    if (!out.empty() && i.from <= out.back().to) {
      out.back().to = std::max(out.back().to, i.to);
    } else {
      out.push_back(i);
    }
  }
  return out;
}

}  // namespace portolan::check
