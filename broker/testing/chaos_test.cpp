// Hundreds of random lives of small worlds, in bounded time. A failing seed prints the one line that replays it.
// chaos_search.hpp says how to search and to replay.
#include <gtest/gtest.h>

#include "broker/testing/chaos_search.hpp"

namespace portolan::broker::testing {
namespace {

TEST(Chaos, ThreeBrokersFaultyNetwork) {
  ChaosOptions options;
  options.kills = 0;
  search("Chaos.ThreeBrokersFaultyNetwork", options, 80);
}

TEST(Chaos, ThreeBrokersWithDeaths) {
  ChaosOptions options;
  options.kills = 1;
  search("Chaos.ThreeBrokersWithDeaths", options, 70);
}

TEST(Chaos, FiveBrokers) {
  ChaosOptions options;
  options.brokers = 5;
  options.faults = 10;
  search("Chaos.FiveBrokers", options, 45);
}

TEST(Chaos, TightBounds) {
  ChaosOptions options;
  options.tight = true;
  options.kills = 1;
  search("Chaos.TightBounds", options, 50);
}

// A far broker filled the window with messages that a client could deliver only after earlier ones, which that window
// kept out; and nothing came any more that would have made anybody look.
TEST(Chaos, AFullWindowLetsGoOfWhoeverFillsIt) {
  ChaosOptions options;
  options.tight = true;
  options.kills = 1;
  const ChaosResult result = chaos(52, options);
  EXPECT_EQ(result.verdict, "");
  EXPECT_GT(result.delivered, 2'900u);
}

TEST(Chaos, SlowLinks) {
  ChaosOptions options;
  options.rate_bps = 2'000'000;
  search("Chaos.SlowLinks", options, 36);
}

TEST(Chaos, ShortMemory) {
  ChaosOptions options;
  options.short_memory = true;
  options.kills = 2;
  search("Chaos.ShortMemory", options, 45);
}

// Each takes a quarter of a second and more on each hop, so faults meet it half-way.
TEST(Chaos, LongMessages) {
  ChaosOptions options;
  options.longest = 500'000;
  options.rate_bps = 16'000'000;
  options.kills = 2;
  options.faults = 10;
  search("Chaos.LongMessages", options, 12);
}

TEST(Chaos, TheSameSeedTwice) {
  const ChaosResult one = chaos(3, {}), two = chaos(3, {});
  EXPECT_EQ(one.trace, two.trace);
  EXPECT_EQ(one.published, two.published);
  EXPECT_NE(one.trace, chaos(4, {}).trace);
}

}  // namespace
}  // namespace portolan::broker::testing
