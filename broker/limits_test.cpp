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
  for (const char* name : {"daemon", "sim", "sim_client", "long", "long_client", "thousand"})
    EXPECT_TRUE(Limits::by_name(name, l)) << name;
  EXPECT_EQ(l.sessions, Limits::thousand().sessions);
  l.sessions = 7;
  EXPECT_FALSE(Limits::by_name("simulator", l));
  EXPECT_EQ(l.sessions, 7u);
}

// What each bound costs a broker (or a client): the bytes that go when it is halved, twice.
template <typename Sum>
void print_shares(const Limits& l, Sum&& bytes_needed) {
  const auto show = [&](const char* name, auto&& of) {
    Limits half = l;
    of(half) /= 2;
    const double kib = 2.0 * static_cast<double>(bytes_needed(l) - bytes_needed(half)) / 1024;
    if (kib >= 1) std::printf("  %-24s %8u  %9.1f KiB\n", name, static_cast<unsigned>(of(half)) * 2, kib);
  };
  show(
      "sessions", [](Limits & x) -> auto& { return x.sessions; });
  show(
      "downstreams", [](Limits & x) -> auto& { return x.downstreams; });
  show(
      "messages", [](Limits & x) -> auto& { return x.messages; });
  show(
      "small_blocks (bulk)", [](Limits & x) -> auto& { return x.small_blocks; });
  show(
      "small_slots (bulk)", [](Limits & x) -> auto& { return x.small_slots; });
  show(
      "large_slots (bulk)", [](Limits & x) -> auto& { return x.large_slots; });
  show(
      "topics", [](Limits & x) -> auto& { return x.topics; });
  show(
      "streams", [](Limits & x) -> auto& { return x.streams; });
  show(
      "filters", [](Limits & x) -> auto& { return x.filters; });
  show(
      "window_messages", [](Limits & x) -> auto& { return x.window_messages; });
  show(
      "control_queue", [](Limits & x) -> auto& { return x.control_queue; });
  show(
      "events", [](Limits & x) -> auto& { return x.events; });
  show(
      "reorder_messages", [](Limits & x) -> auto& { return x.reorder_messages; });
  show(
      "kept_messages", [](Limits & x) -> auto& { return x.kept_messages; });
  show(
      "transmits", [](Limits & x) -> auto& { return x.transmits; });
}

// A thousand harbours, thirty of them hubs, with a client each.
TEST(Limits, EnginesOfAThousandHarboursStayBelowAGibibyte) {
  constexpr double kKiB = 1024;
  const auto broker = [](const Limits& l) { return Engine::bytes_needed(l); };
  const auto client = [](const Limits& l) { return ClientEngine::bytes_needed(l); };
  std::printf("thousand: a leaf\n");
  print_shares(Limits::thousand(), broker);
  std::printf("thousand_hub\n");
  print_shares(Limits::thousand_hub(), broker);
  std::printf("thousand_client\n");
  print_shares(Limits::thousand_client(), client);
  // Address space; what is bulk is touched only as far as it is used.
  const double leaf = static_cast<double>(broker(Limits::thousand())) / kKiB;
  const double hub = static_cast<double>(broker(Limits::thousand_hub())) / kKiB;
  const double one = static_cast<double>(client(Limits::thousand_client())) / kKiB;
  const double bulk =
      static_cast<double>(store_bytes(Limits::thousand()) + store_bytes(Limits::thousand_client())) / kKiB +
      2.0 * PTL_SEGMENT_MAX / kKiB;  // and the segment that was sealed last, of each
  const double all = (970 * leaf + 30 * hub + 1'000 * one) / kKiB;
  std::printf("leaf %.0f KiB, hub %.0f KiB, client %.0f KiB; all %.0f MiB, of which bulk %.0f MiB\n", leaf, hub, one,
              all, 970 * bulk / kKiB);
  EXPECT_LE(all - 970 * bulk / kKiB, 1'024);
}

TEST(Limits, EnginesStayWithinTheStatedSums) {
  struct Row {
    const char* name;
    double store_mib, engine_mib, client_mib;  // at most; 0: not used as such
  };
  for (const Row& row : {Row{"daemon", 115, 256, 0}, Row{"sim", 50, 512, 0}, Row{"sim_client", 24, 0, 64},
                         Row{"long", 125, 600, 0}, Row{"long_client", 95, 0, 140}, Row{"thousand", 0.6, 1.3, 0}}) {
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
