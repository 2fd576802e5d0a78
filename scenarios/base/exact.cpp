// See exact.hpp. Angles are reduced in degrees, where the reduction is exact, and only then scaled to radians.
#include "scenarios/base/exact.hpp"

#include <bit>
#include <cmath>
#include <cstddef>
#include <limits>

#include "scenarios/base/hash.hpp"

namespace portolan::exact {
namespace {

constexpr double pi = 3.14159265358979323846;
constexpr double radians_per_degree = pi / 180;

// Taylor series on |x| <= pi/4: the first term left out is below 1e-18.
double sin_radians(double x) {
  const double s = x * x;
  double sum = 0;
  for (int n = 19; n >= 3; n -= 2) sum = (1 + sum) * (-s / ((n - 1) * n));
  return x + x * sum;
}

double cos_radians(double x) {
  const double s = x * x;
  double sum = 0;
  for (int n = 18; n >= 2; n -= 2) sum = (1 + sum) * (-s / ((n - 1) * n));
  return 1 + sum;
}

// The nearest multiple of 90 degrees and what is left, at most 45 degrees either way.
struct Reduced {
  int quadrant;
  double rest_radians;
};
Reduced reduce(double degrees) {
  const double quarters = std::floor(degrees / 90 + 0.5);
  const auto whole = static_cast<std::int64_t>(quarters);
  return {static_cast<int>(whole & 3), (degrees - quarters * 90) * radians_per_degree};
}

// atan on [0, 1]: the angle halved twice, so the series runs on [0, tan(pi/16)].
double atan_unit(double x) {
  x = x / (1 + std::sqrt(1 + x * x));
  x = x / (1 + std::sqrt(1 + x * x));
  const double s = x * x;
  double sum = 0;
  for (int n = 25; n >= 1; n -= 2) sum = 1.0 / n - s * sum;
  return 4 * x * sum;
}

struct Vector {
  double x, y, z;
};
Vector to_vector(Point p) {
  const double c = cos_deg(p.lat_deg);
  return {c * cos_deg(p.lon_deg), c * sin_deg(p.lon_deg), sin_deg(p.lat_deg)};
}

// Central angle in radians by the haversine, well-conditioned for short distances.
double central_angle(Point a, Point b) {
  const double u = sin_deg((b.lat_deg - a.lat_deg) / 2);
  const double v = sin_deg((b.lon_deg - a.lon_deg) / 2);
  const double h = u * u + cos_deg(a.lat_deg) * cos_deg(b.lat_deg) * v * v;
  return 2 * asin_deg(std::sqrt(h)) * radians_per_degree;
}

constexpr std::int32_t normal_table[1025] = {
#include "scenarios/base/normal_table.inc"
};
static_assert(normal_table[1024] == normal_q16_max);

}  // namespace

double sin_deg(double degrees) {
  const Reduced r = reduce(degrees);
  const double value = (r.quadrant & 1) != 0 ? cos_radians(r.rest_radians) : sin_radians(r.rest_radians);
  return (r.quadrant & 2) != 0 ? -value : value;
}

double cos_deg(double degrees) {
  const Reduced r = reduce(degrees);
  const double value = (r.quadrant & 1) != 0 ? sin_radians(r.rest_radians) : cos_radians(r.rest_radians);
  return r.quadrant == 1 || r.quadrant == 2 ? -value : value;
}

double atan2_deg(double y, double x) {
  const double ax = x < 0 ? -x : x;
  const double ay = y < 0 ? -y : y;
  if (ax == 0 && ay == 0) return 0;
  double angle = ay <= ax ? atan_unit(ay / ax) : pi / 2 - atan_unit(ax / ay);
  if (x < 0) angle = pi - angle;
  const double degrees = angle * (180 / pi);
  return y < 0 ? -degrees : degrees;
}

double asin_deg(double x) {
  if (x > 1) x = 1;
  if (x < -1) x = -1;
  return atan2_deg(x, std::sqrt((1 - x) * (1 + x)));
}

double exp(double x) {
  if (x > 700) x = 700;
  if (x < -700) x = -700;
  constexpr double ln2_high = 6.93147180369123816490e-01;  // 33 bits: k * ln2_high is exact
  constexpr double ln2_low = 1.90821492927058770002e-10;
  const double k = std::floor(x / (ln2_high + ln2_low) + 0.5);
  const double r = (x - k * ln2_high) - k * ln2_low;  // |r| <= ln2 / 2
  double sum = 1;
  for (int n = 16; n >= 1; --n) sum = 1 + sum * r / n;
  const auto biased = static_cast<std::uint64_t>(static_cast<std::int64_t>(k) + 1023);
  return sum * std::bit_cast<double>(biased << 52);
}

std::int64_t great_circle_m(Point a, Point b) {
  return static_cast<std::int64_t>(std::floor(earth_radius_m * central_angle(a, b) + 0.5));
}

Point along(Point a, Point b, double fraction) {
  const double angle_deg = central_angle(a, b) / radians_per_degree;
  const double whole = sin_deg(angle_deg);
  if (angle_deg < 1e-9 || whole < 1e-9) return fraction < 0.5 ? a : b;
  const double wa = sin_deg((1 - fraction) * angle_deg) / whole;
  const double wb = sin_deg(fraction * angle_deg) / whole;
  const Vector va = to_vector(a);
  const Vector vb = to_vector(b);
  const Vector v{wa * va.x + wb * vb.x, wa * va.y + wb * vb.y, wa * va.z + wb * vb.z};
  return {atan2_deg(v.z, std::sqrt(v.x * v.x + v.y * v.y)), atan2_deg(v.y, v.x)};
}

double course_deg(Point a, Point b) {
  const double dlon = b.lon_deg - a.lon_deg;
  const double y = sin_deg(dlon) * cos_deg(b.lat_deg);
  const double x = cos_deg(a.lat_deg) * sin_deg(b.lat_deg) - sin_deg(a.lat_deg) * cos_deg(b.lat_deg) * cos_deg(dlon);
  const double course = atan2_deg(y, x);
  return course < 0 ? course + 360 : course;
}

std::uint64_t neg_ln_q56(std::uint64_t draw) {
  if (draw == 0) draw = 1;
  const auto shift = static_cast<unsigned>(std::countl_zero(draw));
  const std::uint64_t m = draw << shift;  // u = m / 2^64 / 2^shift, m / 2^64 in [1/2, 1)
  // -ln(v) = 2 artanh((1 - v) / (1 + v)), z <= 1/3: the terms fall by 9 or more each, 20 reach 2^-62.
  const unsigned_int128 one = static_cast<unsigned_int128>(1) << 64;
  const unsigned_int128 sum_1v = (one + m) >> 1;                              // keeps the divisor within 64 bits
  const auto z = static_cast<std::uint64_t>(((one - m) << 62) / sum_1v / 2);  // Q62
  const auto z2 = static_cast<std::uint64_t>((static_cast<unsigned_int128>(z) * z) >> 62);
  std::uint64_t power = z;
  std::uint64_t total = 0;
  for (std::uint64_t n = 1; n <= 39 && power != 0; n += 2) {
    total += power / n;
    power = static_cast<std::uint64_t>((static_cast<unsigned_int128>(power) * z2) >> 62);
  }
  constexpr std::uint64_t ln2_q56 = 49946518145322873ull;  // floor(ln 2 * 2^56)
  return shift * ln2_q56 + (total >> 5);                   // 2 * total, from Q62 to Q56
}

std::uint64_t exponential(std::uint64_t draw, std::uint64_t mean) {
  const unsigned_int128 product = static_cast<unsigned_int128>(neg_ln_q56(draw)) * mean;
  const unsigned_int128 value = product >> 56;
  constexpr std::uint64_t top = std::numeric_limits<std::uint64_t>::max();
  return value > top ? top : static_cast<std::uint64_t>(value);
}

std::int32_t normal_q16(std::uint64_t draw) {
  const bool negative = (draw >> 63) != 0;
  const std::uint64_t half = draw << 1;                     // position in one half, 64 bits
  const auto index = static_cast<std::size_t>(half >> 54);  // 1024 steps
  const auto rest = static_cast<std::int64_t>((half >> 22) & 0xFFFFFFFFu);
  const std::int64_t low = normal_table[index];
  const std::int64_t high = normal_table[index + 1];
  const auto value = static_cast<std::int32_t>(low + (((high - low) * rest) >> 32));
  return negative ? -value : value;
}

}  // namespace portolan::exact
