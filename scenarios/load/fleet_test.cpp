// The fleet as its listeners see it: sentences decoded again and set beside the vessel's own state.
#include "scenarios/load/fleet.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

namespace portolan::load {
namespace {

constexpr plan::Ns second = 1'000'000'000;

std::vector<plan::Waypoint> rotterdam_to_gothenburg() {
  return {{51'980'000, 3'980'000},
          {53'900'000, 5'500'000},
          {57'000'000, 7'800'000},
          {57'900'000, 10'900'000},
          {57'650'000, 11'700'000}};
}

std::shared_ptr<const Lane> lane() {
  static const auto shared = std::make_shared<const Lane>(Lane::make(rotterdam_to_gothenburg()));
  return shared;
}

TEST(Lane, IsALoopOfGreatCircles) {
  EXPECT_EQ(lane()->point.size(), 8u);
  EXPECT_NEAR(static_cast<double>(lane()->length_mm()) / 1e6, 2 * 862, 40);
  EXPECT_EQ(lane()->turn_deg[0], 180);  // at either end she goes back the way she came
  EXPECT_NEAR(std::fabs(lane()->turn_deg[4]), 180, 1e-9);
  EXPECT_TRUE(Lane::make({{1, 1}, {1, 1}}).point.empty());
  EXPECT_TRUE(Lane::make({}).point.empty());
}

TEST(Vessel, SailsAtHerSpeedAndTurnsWithoutJumps) {
  int turns = 0;
  for (std::uint32_t v = 0; v < 20; ++v) {
    const Vessel vessel(lane(), 5, v, 0, 60 * second, 1'000'000);
    const double mm_per_s = vessel.speed_tenth_knots() * 463.0 / 9;
    VesselState before = vessel.state(0);
    constexpr plan::Ns step = 2 * second;  // shorter than the shortest turn on this lane
    for (plan::Ns t = step; t < 20'000 * second; t += step) {
      const VesselState now = vessel.state(t);
      // Chord at most the way sailed; shorter only where she rounds a waypoint.
      const double moved_m = static_cast<double>(exact::great_circle_m(before.at, now.at));
      EXPECT_LE(moved_m, mm_per_s / 500 + 1.1);
      double turned = std::fabs(now.course_deg - before.course_deg);
      turned = std::min(turned, 360 - turned);
      turns += now.turn_deg_per_minute != 0 ? 1 : 0;
      EXPECT_LE(turned, 2.1) << "vessel " << v << " at " << t / second;
      if (now.turn_deg_per_minute == 0 && before.turn_deg_per_minute == 0) {
        EXPECT_NEAR(moved_m, mm_per_s / 500, 1.1);
        EXPECT_LE(turned, 0.1);
      }
      before = now;
    }
  }
  EXPECT_GT(turns, 0);
}

TEST(Vessel, ReportsAtClassAIntervals) {
  int slow = 0;
  int medium = 0;
  int fast = 0;
  for (std::uint32_t v = 0; v < 200; ++v) {
    const plan::Ns start = 5 * second;
    const plan::Ns end = start + 600 * second;
    const Vessel vessel(lane(), 11, v, start, end, 1'000'000);
    ASSERT_FALSE(vessel.reports().empty());
    plan::Ns before = -1;
    plan::Ns previous_any = -1;
    int statics = 0;
    for (const auto& report : vessel.reports()) {
      EXPECT_GE(report.at_ns, std::max(start, previous_any));
      EXPECT_LT(report.at_ns, end);
      previous_any = report.at_ns;
      if (report.statics) {
        ++statics;
        continue;
      }
      if (before >= 0) {
        // Between the standard's interval in a turn and that on a straight course, give or take the slot's tenth.
        const double gap = static_cast<double>(report.at_ns - before) / 1e9;
        EXPECT_GE(gap, static_cast<double>(vessel.interval_ns(true)) / 1e9 * 0.8 - 1.0);
        EXPECT_LE(gap, static_cast<double>(vessel.interval_ns(false)) / 1e9 * 1.2);
      }
      before = report.at_ns;
    }
    EXPECT_GE(statics, 1);  // every six minutes
    EXPECT_LE(statics, 2);
    const double per_second = static_cast<double>(vessel.reports().size()) / 600;
    const auto knots = vessel.speed_tenth_knots();
    (knots <= 140 ? slow : knots <= 230 ? medium : fast) += 1;
    EXPECT_GE(per_second, knots <= 140 ? 0.098 : knots <= 230 ? 0.16 : 0.48);
    EXPECT_LE(per_second, 0.52);
  }
  EXPECT_NEAR(slow, 110, 25);
  EXPECT_NEAR(medium, 70, 25);
  EXPECT_NEAR(fast, 20, 15);
}

TEST(Vessel, SentencesDecodeToWhereSheIs) {
  std::set<std::uint32_t> mmsis;
  int type_3 = 0;
  for (std::uint32_t v = 0; v < 200; ++v) {
    const Vessel vessel(lane(), 3, v, 0, 400 * second, 1'000'000);
    EXPECT_TRUE(mmsis.insert(vessel.mmsi()).second);
    std::uint64_t index = 0;
    for (const auto& report : vessel.reports()) {
      std::string text;
      vessel.append(report, index++, text);
      const auto bits = ais::bits(text);
      ASSERT_TRUE(bits) << text;
      EXPECT_EQ(bits->mmsi(), vessel.mmsi());
      EXPECT_EQ(text.size(), report.statics ? statics_bytes : position_bytes);
      if (report.statics) {
        const auto r = ais::statics(*bits);
        ASSERT_TRUE(r);
        EXPECT_EQ(r->name, "PORTOLAN " + std::to_string(v));
        continue;
      }
      const auto r = ais::position(*bits);
      ASSERT_TRUE(r);
      const VesselState state = vessel.state(report.at_ns);
      EXPECT_NEAR(r->lat / 600'000.0, state.at.lat_deg, 1e-6);
      EXPECT_NEAR(r->lon / 600'000.0, state.at.lon_deg, 1e-6);
      EXPECT_EQ(r->sog, vessel.speed_tenth_knots());
      const double off = std::fabs(r->cog / 10.0 - state.course_deg);
      EXPECT_LE(std::min(off, 360 - off), 0.051);
      EXPECT_EQ(r->second, report.at_ns / second % 60);
      EXPECT_EQ(r->type == 3, state.turn_deg_per_minute != 0);
      EXPECT_EQ(r->type == 3, r->rate_of_turn != 0);
      type_3 += r->type == 3 ? 1 : 0;
    }
  }
  EXPECT_GT(type_3, 0);
}

}  // namespace
}  // namespace portolan::load
