#include "sim/lean/journeys.hpp"

#include <gtest/gtest.h>

namespace portolan::sim {
namespace {

std::int64_t sum(const Parts& p) {
  return p.propagation_ns + p.serialisation_ns + p.queueing_ns + p.repair_ns + p.broker_ns;
}

TEST(Journeys, PartsSumToTheLatencyAndNameTheRepair) {
  Journeys j;
  constexpr std::uint64_t key = 7;
  j.published(key, 1, 1'000, 1'200);                               // publisher 200 late
  Travelled first = j.depart(key, 1, {2, 1, true, false}, 1'300);  // 100 pacing
  EXPECT_TRUE(first.known);
  Travelled again = j.depart(key, 1, {2, 1, true, true}, 6'300);  // lost; 5,000 until it goes again
  Parts network;
  network.propagation_ns = 900;
  network.serialisation_ns = 50;
  network.queueing_ns = 50;
  j.arrive(again, network, 2, 7'300, 7'400);  // CPU takes it 100 later
  Travelled on = j.depart(key, 2, {3, 1, true, false}, 7'400);
  on.parts.broker_ns += 30;  // CPU to send
  j.arrive(on, network, 3, 8'430, 8'430);
  Parts parts;
  bool repaired = false;
  ASSERT_TRUE(j.deliver(key, 3, 8'500, parts, repaired));
  EXPECT_TRUE(repaired);
  EXPECT_EQ(sum(parts), 8'500 - 1'000);
  EXPECT_EQ(parts.repair_ns, 5'000 + 70);
  EXPECT_EQ(parts.propagation_ns, 1'800);
  EXPECT_EQ(parts.serialisation_ns, 100);
  EXPECT_EQ(parts.queueing_ns, 100 + 100);
  EXPECT_EQ(parts.broker_ns, 200 + 100 + 30);
  EXPECT_FALSE(j.deliver(key, 3, 8'600, parts, repaired));  // once
}

TEST(Journeys, ASpuriousRepairDoesNotRewriteTheWayOfWhatHasGoneOn) {
  Journeys j;
  j.published(1, 1, 0, 0);
  const Travelled a = j.depart(1, 1, {2, 1, true, false}, 0);
  j.arrive(a, Parts{}, 2, 1'000, 1'000);
  (void)j.depart(1, 2, {3, 1, true, false}, 1'000);
  const Travelled late = j.depart(1, 1, {2, 1, true, true}, 500);
  j.arrive(late, Parts{}, 2, 9'000, 9'000);
  const Travelled again = j.depart(1, 2, {4, 1, true, false}, 1'000);
  EXPECT_FALSE(again.repaired);
  EXPECT_EQ(again.parts.repair_ns, 0);
}

TEST(Journeys, TheLaterFragmentsOfALongMessageWaitedAndWereNotRepaired) {
  Journeys j;
  j.published(1, 1, 0, 0);
  (void)j.depart(1, 1, {2, 1, false, false}, 10);
  const Travelled last = j.depart(1, 1, {2, 1, false, false}, 500);
  EXPECT_EQ(last.parts.queueing_ns, 500);
  EXPECT_EQ(last.parts.repair_ns, 0);
  const Travelled repaired = j.depart(1, 1, {2, 1, false, true}, 900);
  EXPECT_EQ(repaired.parts.queueing_ns, 500);
  EXPECT_EQ(repaired.parts.repair_ns, 400);
}

TEST(Journeys, AMessageOfferedAgainInANewSessionWasRepaired) {
  Journeys j;
  j.published(1, 1, 0, 0);
  (void)j.depart(1, 1, {2, 1, false, false}, 10);
  (void)j.depart(1, 1, {2, 1, false, false}, 40);
  (void)j.depart(1, 1, {2, 9, false, false}, 1'040);
  const Travelled last = j.depart(1, 1, {2, 9, false, false}, 1'060);
  EXPECT_TRUE(last.repaired);
  EXPECT_EQ(last.parts.repair_ns, 1'000);
  EXPECT_EQ(last.parts.queueing_ns, 60);
}

TEST(Journeys, ForgetTheOldAndCountThem) {
  Journeys j;
  j.published(1, 1, 0, 0);
  j.published(2, 1, Journeys::kForgetNs + 1, Journeys::kForgetNs + 1);
  EXPECT_EQ(j.forgotten(), 1u);
  EXPECT_FALSE(j.depart(1, 1, {2, 1, true, false}, Journeys::kForgetNs + 2).known);
}

TEST(Journeys, HundredThousandComeAndGoAndNoneIsMistakenForAnother) {
  Journeys j;
  Parts parts;
  bool repaired = false;
  for (std::uint64_t i = 0; i < 100'000; ++i) {
    const std::uint64_t key = i * 0x9E3779B97F4A7C15ull;
    j.published(key, 1, i, i + i % 97);
    if (i < 700) continue;
    const std::uint64_t old = i - 700;
    const Travelled t = j.depart(old * 0x9E3779B97F4A7C15ull, 1, {2, 1, true, false}, i + 97);
    ASSERT_TRUE(t.known);
    ASSERT_EQ(t.parts.broker_ns, static_cast<std::int64_t>(old % 97)) << old;
    j.arrive(t, Parts{}, 2, i + 97, i + 97);
    ASSERT_TRUE(j.deliver(t.key, 2, i + 97, parts, repaired)) << old;
    ASSERT_FALSE(j.deliver(t.key, 2, i + 97, parts, repaired)) << old;
    ASSERT_EQ(sum(parts), static_cast<std::int64_t>(i + 97 - old)) << old;
    if (old % 3 == 0) {
      ASSERT_TRUE(j.deliver(t.key, 1, i + 97, parts, repaired)) << old;
    }
  }
  EXPECT_EQ(j.forgotten(), 0u);
}

}  // namespace
}  // namespace portolan::sim
