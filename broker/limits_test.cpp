// The profiles are found by name, and the Store that each buys stays within the memory that its comment states.
#include "broker/limits.hpp"

#include <gtest/gtest.h>

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

TEST(Limits, StoreStaysWithinTheStatedSum) {
  const std::size_t daemon = store_bytes(Limits::daemon());
  const std::size_t sim = store_bytes(Limits::sim());
  const std::size_t client = store_bytes(Limits::sim_client());
  const std::size_t thousand = store_bytes(Limits::thousand());
  std::printf("store bytes: daemon %zu, sim %zu, sim_client %zu, thousand %zu\n", daemon, sim, client, thousand);
  EXPECT_LT(daemon, 120u << 20);
  EXPECT_LT(sim, 20u << 20);
  EXPECT_LT(client, 9u << 20);
  EXPECT_LT(thousand, 700u << 10);
}

}  // namespace
}  // namespace portolan::broker
