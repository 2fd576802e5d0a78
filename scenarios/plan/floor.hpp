// The floor: the least time any message can take between two harbours, great-circle distance over two thirds of the
// speed of light (light in fibre). One definition for compiler, simulator and checker.
#pragma once

#include "scenarios/base/exact.hpp"
#include "scenarios/plan/plan.hpp"

namespace portolan::plan {

// distance / (2/3 c), rounded down, ns: 3e9 / (2 x 299,792,458) ns a metre.
inline Ns floor_of_metres(std::uint64_t distance_m) {
  return static_cast<Ns>(distance_m * 3'000'000'000ull / (2ull * 299'792'458ull));
}

inline Ns floor_ns(const Harbour& a, const Harbour& b) {
  const auto degrees = [](std::int64_t udeg) { return static_cast<double>(udeg) / 1e6; };
  const std::int64_t metres =
      exact::great_circle_m({degrees(a.lat_udeg), degrees(a.lon_udeg)}, {degrees(b.lat_udeg), degrees(b.lon_udeg)});
  return floor_of_metres(static_cast<std::uint64_t>(metres));
}

}  // namespace portolan::plan
