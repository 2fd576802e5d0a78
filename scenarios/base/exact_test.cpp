// exact.hpp against libm, which is allowed here and nowhere on a path to a record.
#include "scenarios/base/exact.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "scenarios/base/hash.hpp"

namespace portolan::exact {
namespace {

constexpr double radians = 3.14159265358979323846 / 180;

double unit(std::uint64_t draw) {
  return static_cast<double>(draw >> 11) * 0x1p-53;
}

TEST(Exact, TrigonometryAgreesWithLibm) {
  for (std::uint64_t i = 0; i < 50'000; ++i) {
    const double d = (unit(draw64(1, i)) - 0.5) * 1440;
    EXPECT_NEAR(sin_deg(d), std::sin(d * radians), 4e-15) << d;
    EXPECT_NEAR(cos_deg(d), std::cos(d * radians), 4e-15) << d;
    const double x = unit(draw64(2, i)) * 2 - 1;
    const double y = unit(draw64(3, i)) * 2 - 1;
    EXPECT_NEAR(atan2_deg(y, x), std::atan2(y, x) / radians, 2e-13);
    EXPECT_NEAR(asin_deg(x), std::asin(x) / radians, 2e-13);
    const double e = (unit(draw64(4, i)) - 0.5) * 100;
    EXPECT_NEAR(exp(e) / std::exp(e), 1, 1e-13) << e;
  }
}

TEST(Exact, KnownAnglesAreExactOrNearly) {
  EXPECT_EQ(sin_deg(0), 0);
  EXPECT_EQ(sin_deg(90), 1);
  EXPECT_EQ(sin_deg(-90), -1);
  EXPECT_EQ(sin_deg(180), 0);
  EXPECT_EQ(cos_deg(90), 0);
  EXPECT_EQ(cos_deg(180), -1);
  EXPECT_EQ(cos_deg(360), 1);
  EXPECT_EQ(atan2_deg(0, 0), 0);
  EXPECT_NEAR(atan2_deg(0, -1), 180, 1e-13);
  EXPECT_NEAR(asin_deg(2), 90, 1e-13);
  EXPECT_EQ(exp(0), 1);
}

TEST(Exact, KnownBitsDoNotMove) {
  // The project's promise is "same seed, same bytes": these bit patterns were computed once and hold everywhere.
  EXPECT_EQ(great_circle_m({51.95, 4.14}, {53.54, 9.98}), 430'869);   // Rotterdam Maasvlakte - Hamburg
  EXPECT_EQ(great_circle_m({52.52, 13.40}, {49.49, 0.11}), 987'299);  // Berlin - Le Havre
  EXPECT_EQ(neg_ln_q56(std::uint64_t{1} << 63), 49946518145322873ull);
}

TEST(Exact, GreatCircleAgreesWithHaversineByLibmAndWithMeasuredTable) {
  std::ifstream file(std::string(PORTOLAN_SOURCE_DIR) + "/scenarios/data/europe-p95-rtt.csv");
  std::string line;
  std::getline(file, line);
  int rows = 0;
  while (std::getline(file, line)) {
    std::vector<std::string> cell;
    std::stringstream split(line);
    for (std::string part; std::getline(split, part, ',');) cell.push_back(part);
    ASSERT_GE(cell.size(), 7u);
    const Point a{std::stod(cell[1]), std::stod(cell[2])};
    const Point b{std::stod(cell[4]), std::stod(cell[5])};
    const double u = std::sin((b.lat_deg - a.lat_deg) / 2 * radians);
    const double v = std::sin((b.lon_deg - a.lon_deg) / 2 * radians);
    const double h = u * u + std::cos(a.lat_deg * radians) * std::cos(b.lat_deg * radians) * v * v;
    const double metres = 2 * earth_radius_m * std::asin(std::sqrt(h));
    EXPECT_NEAR(static_cast<double>(great_circle_m(a, b)), metres, 0.51);
    EXPECT_NEAR(static_cast<double>(great_circle_m(a, b)) / 1000, std::stod(cell[6]), 1.0) << line;
    EXPECT_EQ(great_circle_m(a, b), great_circle_m(b, a));
    ++rows;
  }
  EXPECT_EQ(rows, 86);
}

TEST(Exact, PointsAlongALegDivideIt) {
  const Point a{51.95, 4.14};
  const Point b{57.69, 11.90};
  const auto whole = great_circle_m(a, b);
  for (int i = 0; i <= 20; ++i) {
    const Point p = along(a, b, i / 20.0);
    EXPECT_NEAR(static_cast<double>(great_circle_m(a, p)), static_cast<double>(whole) * i / 20, 1.0);
    EXPECT_NEAR(static_cast<double>(great_circle_m(p, b)), static_cast<double>(whole) * (20 - i) / 20, 1.0);
  }
  EXPECT_NEAR(course_deg({50, 5}, {51, 5}), 0, 1e-9);
  EXPECT_NEAR(course_deg({0, 5}, {0, 6}), 90, 1e-9);
  EXPECT_NEAR(course_deg({0, 6}, {0, 5}), 270, 1e-9);
  EXPECT_EQ(along(a, a, 0.7).lat_deg, a.lat_deg);
}

TEST(Exact, NegativeLogarithmAgreesWithLibm) {
  for (std::uint64_t i = 0; i < 50'000; ++i) {
    const std::uint64_t draw = draw64(5, i) >> (i % 63);
    const double want = -std::log(static_cast<double>(draw == 0 ? 1 : draw) * 0x1p-64);
    EXPECT_NEAR(static_cast<double>(neg_ln_q56(draw)) * 0x1p-56, want, 1e-14 * (1 + want)) << draw;
  }
  EXPECT_EQ(neg_ln_q56(0), neg_ln_q56(1));
  EXPECT_EQ(neg_ln_q56(~std::uint64_t{0}), 0u);
}

TEST(Exact, ExponentialHasItsMeanDeviationAndQuantiles) {
  double sum = 0;
  double squares = 0;
  int above_three_means = 0;
  constexpr int n = 200'000;
  for (int i = 0; i < n; ++i) {
    const auto x = static_cast<double>(exponential(draw64(6, i), 1'000'000)) / 1e6;
    sum += x;
    squares += x * x;
    above_three_means += x > 3 ? 1 : 0;
  }
  EXPECT_NEAR(sum / n, 1, 0.01);
  EXPECT_NEAR(squares / n, 2, 0.04);
  EXPECT_NEAR(static_cast<double>(above_three_means) / n, std::exp(-3.0), 0.002);
  EXPECT_EQ(exponential(1, ~std::uint64_t{0}), ~std::uint64_t{0});
}

TEST(Exact, NormalTableHasMeanDeviationAndTails) {
  double sum = 0;
  double squares = 0;
  int within_one = 0;
  constexpr int n = 200'000;
  for (int i = 0; i < n; ++i) {
    const double x = normal_q16(draw64(7, i)) / 65536.0;
    sum += x;
    squares += x * x;
    within_one += std::fabs(x) < 1 ? 1 : 0;
  }
  EXPECT_NEAR(sum / n, 0, 0.01);
  EXPECT_NEAR(squares / n, 1, 0.01);
  EXPECT_NEAR(static_cast<double>(within_one) / n, std::erf(std::sqrt(0.5)), 0.005);
  EXPECT_EQ(normal_q16(0), 0);
  EXPECT_LE(normal_q16((std::uint64_t{1} << 63) - 1), normal_q16_max);
  EXPECT_GE(normal_q16((std::uint64_t{1} << 63) - 1), normal_q16_max - 200);
  // Each table step is the normal quantile: its distribution function gives the step back.
  for (std::uint64_t i = 0; i < 1024; ++i) {
    const double z = normal_q16(i << 53) / 65536.0;
    EXPECT_NEAR(0.5 * std::erfc(-z / std::sqrt(2.0)), 0.5 + static_cast<double>(i) / 2048, 4e-6);
  }
}

}  // namespace
}  // namespace portolan::exact
