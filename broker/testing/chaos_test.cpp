// Hundreds of random lives of small worlds, in bounded time. A failing seed prints the one line that replays it.
//   PORTOLAN_CHAOS_SEEDS=N   this many seeds of each world (a search: thousands)
//   PORTOLAN_CHAOS_FIRST=S   beginning with this one (a replay: with SEEDS=1, and PORTOLAN_TEST_LOG=1 to see it)
#include "broker/testing/chaos.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

namespace portolan::broker::testing {
namespace {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

void search(const char* test, const ChaosOptions& options, double seconds_at_most) {
  const std::uint64_t first = from_environment("PORTOLAN_CHAOS_FIRST", 1);
  const std::uint64_t seeds = from_environment("PORTOLAN_CHAOS_SEEDS", 0);
  const auto began = std::chrono::steady_clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count(); };
  std::uint64_t done = 0, published = 0, delivered = 0, gaps = 0, refused = 0, failures = 0;
  // Bounded by time when nobody asked for a number; what is found does not depend on how many there were.
  for (std::uint64_t seed = first; seeds != 0 ? done < seeds : elapsed() < seconds_at_most; ++seed, ++done) {
    const ChaosResult result = chaos(seed, options);
    published += result.published;
    delivered += result.delivered;
    gaps += result.gaps;
    refused += result.refused;
    if (result.verdict.empty()) continue;
    ++failures;
    ADD_FAILURE() << "seed " << seed << ":\n"
                  << result.verdict << "replay: PORTOLAN_CHAOS_FIRST=" << seed
                  << " PORTOLAN_CHAOS_SEEDS=1 PORTOLAN_TEST_LOG=1 broker_chaos_test --gtest_filter=Chaos." << test;
    if (failures == 5) break;
  }
  const auto show = [](std::uint64_t n) { return static_cast<unsigned long long>(n); };
  std::printf("%s: %llu seeds, %llu published, %llu delivered, %llu gaps, %llu refused, %.1f s\n", test, show(done),
              show(published), show(delivered), show(gaps), show(refused), elapsed());
  EXPECT_GT(delivered, 0u);
}

TEST(Chaos, ThreeBrokersFaultyNetwork) {
  ChaosOptions options;
  options.kills = 0;
  search("ThreeBrokersFaultyNetwork", options, 4);
}

TEST(Chaos, ThreeBrokersWithDeaths) {
  ChaosOptions options;
  options.kills = 1;
  search("ThreeBrokersWithDeaths", options, 4);
}

TEST(Chaos, FiveBrokers) {
  ChaosOptions options;
  options.brokers = 5;
  options.faults = 10;
  search("FiveBrokers", options, 4);
}

TEST(Chaos, TightBounds) {
  ChaosOptions options;
  options.tight = true;
  options.kills = 1;
  search("TightBounds", options, 3);
}

TEST(Chaos, SlowLinks) {
  ChaosOptions options;
  options.rate_bps = 2'000'000;
  search("SlowLinks", options, 3);
}

TEST(Chaos, ShortMemory) {
  ChaosOptions options;
  options.short_memory = true;
  options.kills = 2;
  search("ShortMemory", options, 3);
}

TEST(Chaos, TheSameSeedTwice) {
  const ChaosResult one = chaos(3, {}), two = chaos(3, {});
  EXPECT_EQ(one.trace, two.trace);
  EXPECT_EQ(one.published, two.published);
  EXPECT_NE(one.trace, chaos(4, {}).trace);
}

}  // namespace
}  // namespace portolan::broker::testing
