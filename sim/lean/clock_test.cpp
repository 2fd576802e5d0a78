#include "sim/lean/clock.hpp"

#include <gtest/gtest.h>

namespace portolan::sim {
namespace {

TEST(SkewedClock, StepsMoveTheWallOnly) {
  SkewedClock clock(5);
  clock.step(1'000);
  EXPECT_EQ(clock.at(50).mono_ns, 50u);
  EXPECT_EQ(clock.at(50).wall_ns, 1'055);
  EXPECT_EQ(clock.run_time_of(70), 70u);
}

TEST(SkewedClock, ARateBendsBothAndComesBackToTheRunsTimeline) {
  SkewedClock clock(0);
  clock.set_rate(1'000'000'000, 100'000);  // 100 ppm fast
  EXPECT_EQ(clock.at(2'000'000'000).mono_ns, 2'000'100'000u);
  for (const std::uint64_t run : {1'000'000'000ull, 1'234'567'890ull, 5'000'000'001ull}) {
    const std::uint64_t mono = clock.at(run).mono_ns;
    EXPECT_GE(clock.at(clock.run_time_of(mono)).mono_ns, mono);
    EXPECT_LE(clock.run_time_of(mono), run);
    EXPECT_LE(run - clock.run_time_of(mono), 1u);
  }
  clock.set_rate(3'000'000'000, -200'000);
  const std::uint64_t mono = clock.at(4'000'000'000).mono_ns;
  EXPECT_EQ(mono, 4'000'000'000u + 200'000u - 200'000u);
  EXPECT_EQ(clock.run_time_of(broker::kNever), broker::kNever);
}

}  // namespace
}  // namespace portolan::sim
