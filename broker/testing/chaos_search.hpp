// How chaos tests go through seeds. A failing one prints the one line that replays it.
//   PORTOLAN_CHAOS_SEEDS=N   this many seeds of each world (a search: thousands)
//   PORTOLAN_CHAOS_FIRST=S   beginning with this one (a replay: with SEEDS=1, and PORTOLAN_TEST_LOG=1 to see it)
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "broker/testing/chaos.hpp"

namespace portolan::broker::testing {

inline std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

#if defined(__SANITIZE_ADDRESS__)
inline constexpr std::uint64_t kSlowness = 5;  // so many fewer seeds under sanitizers
#else
inline constexpr std::uint64_t kSlowness = 1;
#endif

// The same seeds on every machine, however fast: what is found must not depend on the weather.
inline void search(const char* test, const ChaosOptions& options, std::uint64_t usual_seeds,
                   const char* program = "broker_chaos_test") {
  const std::uint64_t first = from_environment("PORTOLAN_CHAOS_FIRST", 1);
  const std::uint64_t seeds =
      from_environment("PORTOLAN_CHAOS_SEEDS", std::max<std::uint64_t>(usual_seeds / kSlowness, 3));
  const auto began = std::chrono::steady_clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count(); };
  std::uint64_t done = 0, published = 0, delivered = 0, gaps = 0, refused = 0, failures = 0;
  for (std::uint64_t seed = first; done < seeds; ++seed, ++done) {
    const ChaosResult result = chaos(seed, options);
    published += result.published;
    delivered += result.delivered;
    gaps += result.gaps;
    refused += result.refused;
    if (result.verdict.empty()) continue;
    ++failures;
    ADD_FAILURE() << "seed " << seed << ":\n"
                  << result.verdict << "replay: PORTOLAN_CHAOS_FIRST=" << seed
                  << " PORTOLAN_CHAOS_SEEDS=1 PORTOLAN_TEST_LOG=1 " << program << " --gtest_filter=" << test;
    if (failures == 5) break;
  }
  const auto show = [](std::uint64_t n) { return static_cast<unsigned long long>(n); };
  std::printf("%s: %llu seeds, %llu published, %llu delivered, %llu gaps, %llu refused, %.1f s\n", test, show(done),
              show(published), show(delivered), show(gaps), show(refused), elapsed());
  EXPECT_GT(delivered, 0u);
}

}  // namespace portolan::broker::testing
