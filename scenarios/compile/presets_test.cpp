// The presets against what they claim: `cloud` is the least-squares line through the measured round trips.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>

#include "scenarios/compile/context.hpp"
#include "scenarios/compile/trace.hpp"

namespace portolan::compile {
namespace {

std::map<std::string, LinkModel> presets() {
  Diagnostics out("x");
  Tree tree;
  Context c(out, tree, "");
  add_presets(c);
  return c.models;
}

struct Sample {
  double km;
  double rtt_ms;
};

std::vector<Sample> measured() {
  std::ifstream file(std::string(PORTOLAN_SOURCE_DIR) + "/scenarios/data/europe-p95-rtt.csv");
  std::string line;
  std::getline(file, line);
  if (line.ends_with('\r')) line.pop_back();
  EXPECT_EQ(line, "a,a_lat_deg,a_lon_deg,b,b_lat_deg,b_lon_deg,great_circle_km,p95_rtt_ms_a_to_b,p95_rtt_ms_b_to_a");
  std::vector<Sample> samples;
  while (std::getline(file, line)) {
    std::vector<std::string> field;
    std::stringstream row(line);
    for (std::string f; std::getline(row, f, ',');) field.push_back(f);
    EXPECT_EQ(field.size(), 9u) << line;
    if (field.size() != 9) continue;
    samples.push_back({std::stod(field[6]), std::stod(field[7])});
    samples.push_back({std::stod(field[6]), std::stod(field[8])});
  }
  return samples;
}

TEST(Presets, CloudFit) {
  const auto samples = measured();
  ASSERT_EQ(samples.size(), 172u);
  double mean_x = 0;
  double mean_y = 0;
  for (const auto& s : samples) {
    mean_x += s.km / 172;
    mean_y += s.rtt_ms / 172;
  }
  double xy = 0;
  double xx = 0;
  for (const auto& s : samples) {
    xy += (s.km - mean_x) * (s.rtt_ms - mean_y);
    xx += (s.km - mean_x) * (s.km - mean_x);
  }
  const double slope = xy / xx;
  const double constant = mean_y - slope * mean_x;
  double squares = 0;
  for (const auto& s : samples) squares += std::pow(constant + slope * s.km - s.rtt_ms, 2);
  const double rmse = std::sqrt(squares / 172);
  std::printf("RTT = %.6f ms + %.6f us/km x distance, RMSE %.4f ms\n", constant, slope * 1000, rmse);
  // What presets.cpp states, one way, in nanoseconds and picoseconds per kilometre.
  const LinkModel cloud = presets().at("cloud");
  EXPECT_EQ(cloud.delay_ns, std::llround(constant / 2 * 1e6));
  EXPECT_EQ(cloud.delay_ps_per_km, std::llround(slope / 2 * 1e9));
  EXPECT_NEAR(rmse, 3.004, 0.001);
}

TEST(Presets, NoneIsFasterThanLightInFibre) {
  for (const auto& [name, m] : presets()) {
    for (std::uint64_t km : {1u, 100u, 1'000u, 10'000u}) {
      const Ns delay = m.delay_ns + m.delay_ps_per_km * static_cast<std::int64_t>(km) / 1000;
      EXPECT_GE(delay, floor_of(km * 1000)) << name << " " << km;
    }
    EXPECT_GT(m.impairments.rate_bps, 0u) << name;
    EXPECT_GT(m.queue_time_ns, 0) << name;
  }
}

TEST(Presets, BurstsLoseWhatTheCommentsSay) {
  const auto all = presets();
  const auto mean = [&](const char* name) {
    const auto& l = all.at(name).impairments.loss;
    return static_cast<double>(l.bad_dwell_ns) / static_cast<double>(l.bad_dwell_ns + l.good_dwell_ns) * l.probability /
           1e9;
  };
  EXPECT_NEAR(mean("internet"), 0.0002, 1e-6);
  EXPECT_NEAR(mean("radio-4g"), 0.005, 1e-6);
  EXPECT_NEAR(mean("leo-satellite"), 0.004, 1e-6);
}

TEST(Presets, FloorIsNeverAboveTheTruth) {
  for (std::uint64_t m : {0u, 1u, 1'000u, 430'000u, 20'000'000u}) {
    const long double exact = static_cast<long double>(m) * 1.5L / 299'792'458.0L * 1e9L;
    EXPECT_LE(static_cast<long double>(floor_of(m)), exact);
    EXPECT_GT(static_cast<long double>(floor_of(m)) + 1, exact);
  }
}

TEST(Traces, Mahimahi) {
  const auto good = read_mahimahi("0\n0\r\n5\n10\n");
  ASSERT_TRUE(good);
  EXPECT_EQ(good->milliseconds, (std::vector<std::uint32_t>{0, 0, 5, 10}));
  EXPECT_EQ(good->period_ns, 10'000'000);
  for (const char* bad : {"", "0\n", "5\n4\n", "x\n", "1.5\n", "-1\n", "99999999999\n"})
    EXPECT_FALSE(read_mahimahi(bad)) << bad;
}

TEST(Traces, Delay) {
  const auto good = read_delay_trace("at_ms,delay_ms\n0,20\n1000,35.5\n");
  ASSERT_TRUE(good);
  ASSERT_EQ(good->points.size(), 2u);
  EXPECT_EQ(good->points[1].at_ns, 1'000'000'000);
  EXPECT_EQ(good->points[1].delay_ns, 35'500'000);
  EXPECT_EQ(good->period_ns, 2'000'000'000);
  for (const char* bad : {"", "0,20\n", "at_ms,delay_ms\n", "at_ms,delay_ms\n5\n", "at_ms,delay_ms\n5,x\n",
                          "at_ms,delay_ms\n5,1\n5,1\n"}) {
    EXPECT_FALSE(read_delay_trace(bad)) << bad;
  }
}

}  // namespace
}  // namespace portolan::compile
