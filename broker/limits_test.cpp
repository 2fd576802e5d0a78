// The profiles are found by name, and the engines that each buys stay within the memory that its comment states.
#include "broker/limits.hpp"

#include <gtest/gtest.h>

#include "broker/client_engine.hpp"
#include "broker/engine.hpp"
#include "broker/store.hpp"

namespace portolan::broker {
namespace {

std::size_t store_bytes(const Limits& limits) {
  Arena dry(nullptr, 0);
  const Store store(limits, dry);
  return dry.used();
}

TEST(Limits, ProfilesByName) {
  Limits l;
  for (const char* name : {"daemon", "sim", "sim_client", "thousand"}) EXPECT_TRUE(Limits::by_name(name, l)) << name;
  EXPECT_EQ(l.sessions, Limits::thousand().sessions);
  l.sessions = 7;
  EXPECT_FALSE(Limits::by_name("simulator", l));
  EXPECT_EQ(l.sessions, 7u);
}

TEST(Limits, EnginesStayWithinTheStatedSums) {
  struct Row {
    const char* name;
    double store_mib, engine_mib, client_mib;  // at most; 0: not used as such
  };
  for (const Row& row : {Row{"daemon", 115, 256, 0}, Row{"sim", 50, 512, 0}, Row{"sim_client", 24, 0, 64},
                         Row{"thousand", 0.6, 1.3, 0}}) {
    Limits l;
    ASSERT_TRUE(Limits::by_name(row.name, l));
    constexpr double kMiB = 1 << 20;
    const double store = static_cast<double>(store_bytes(l)) / kMiB;
    const double engine = static_cast<double>(Engine::bytes_needed(l)) / kMiB;
    const double client = static_cast<double>(ClientEngine::bytes_needed(l)) / kMiB;
    std::printf("%-10s MiB: store %.2f, broker in all %.2f, client in all %.2f\n", row.name, store, engine, client);
    EXPECT_LE(store, row.store_mib) << row.name;
    if (row.engine_mib != 0) {
      EXPECT_LE(engine, row.engine_mib) << row.name;
    }
    if (row.client_mib != 0) {
      EXPECT_LE(client, row.client_mib) << row.name;
    }
  }
}

}  // namespace
}  // namespace portolan::broker
