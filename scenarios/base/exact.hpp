// Arithmetic that gives the same bits on every machine. libm's sin/exp/log choose code by CPU (FMA, AVX2), so nothing
// on a path to a record may call them; these use +, -, *, / and sqrt only, which IEEE 754 defines to the last bit
// (compiled with -ffp-contract=off), or integers. Absolute error below 1e-12 within the ranges stated; exact_test.cpp
// compares them with libm, which nothing else may.
#pragma once

#include <cstdint>

namespace portolan::exact {

// Mean Earth radius R1 (IUGG), metres.
inline constexpr double earth_radius_m = 6371008.8;

// Angles in degrees, any finite value within +-1e6.
double sin_deg(double degrees);
double cos_deg(double degrees);
// In (-180, 180]; atan2_deg(0, 0) = 0.
double atan2_deg(double y, double x);
// The argument is clamped to [-1, 1].
double asin_deg(double x);
// e^x, x clamped to [-700, 700]; relative error below 1e-13.
double exp(double x);

struct Point {
  double lat_deg = 0;
  double lon_deg = 0;
};
// Haversine distance on the mean sphere, rounded to whole metres.
std::int64_t great_circle_m(Point a, Point b);
// The point at `fraction` (0..1) of the great circle from a to b; antipodes have no unique one and give a or b.
Point along(Point a, Point b, double fraction);
// Initial course from a to b, degrees clockwise from north in [0, 360).
double course_deg(Point a, Point b);

// -ln(u) for u = draw / 2^64 (draw 0 counts as 1), as fixed point with 56 fractional bits; at most 44.37.
std::uint64_t neg_ln_q56(std::uint64_t draw);
// An exponential draw with this mean, whole units of the mean (ns): never more than 44.4 means, saturating.
std::uint64_t exponential(std::uint64_t draw, std::uint64_t mean);

// Standard normal quantile of u = draw / 2^64 in units of 1/65536 sigma, by a table of 2 x 1024 steps with straight
// lines between; the tails end at +-3.67 sigma (a jitter bound, stated rather than hidden). Mean 0, deviation 0.999.
std::int32_t normal_q16(std::uint64_t draw);
inline constexpr std::int32_t normal_q16_max = 240408;

}  // namespace portolan::exact
