// One pool of slots for a crowd of sessions: nobody starves, whatever the others do.
#include "broker/session/crowd.hpp"

namespace portolan::broker::session {
namespace {

TEST(Grants, FourHundredSessionsCompleteOverEightSlots) {
  everybody_completes(400, 8, 3, 3);
}

TEST(Grants, TwoSlotsAreEnough) {
  everybody_completes(40, 2, 3, 3);
}

// Ten want, get their grants, and are never heard of again; their sessions live on for half a minute.
TEST(Grants, GrantsThatNobodyUsesGoToThoseWhoWait) {
  Crowd crowd(60, 8, 65'536);
  ASSERT_TRUE(crowd.run(10'000'000'000, [&] { return crowd.ups == 60; }));
  crowd.silent = [&](std::uint32_t i) { return i < 10 && crowd.clients[i]->sent != 0; };
  crowd.start = true;
  ASSERT_TRUE(crowd.run(3'000'000'000, [&] { return crowd.came == 50; })) << crowd.came;
  EXPECT_GE(crowd.hub->endpoint->counters().grants_taken_back[PTL_LARGE], 7u);
  EXPECT_EQ(crowd.downs, 0u);
  EXPECT_EQ(crowd.wrong, 0u);
}

// What is kept for a sender of late is no obstacle: it goes back at once when somebody waits.
TEST(Grants, WhatIsMerelyKeptGoesBackWhenSomebodyWaits) {
  auto wire = std::make_unique<Wire>();
  wire->delay_ns = 2'000'000;
  Limits limits = Limits::sim();
  limits.large_slots = 8;
  SessionOptions options;
  Node& hub = wire->add(100, limits);
  hub.endpoint->accept_clients(options, {});
  options.initiate = true;
  for (std::uint64_t i = 1; i <= 6; ++i)
    wire->add(i, Limits::sim_client()).endpoint->configure_peer(hub.as_peer(), options);
  wire->run_for(100'000'000);
  for (std::size_t i = 1; i <= 3; ++i) ASSERT_EQ(wire->send(i, Lane::realtime, text_of(i, 60'000), i), SendResult::ok);
  wire->run_for(50'000'000);
  EXPECT_EQ(hub.got.size(), 3u);
  EXPECT_GE(hub.store->usage().large_slots, 5u);  // two each, as long as a quarter is free
  for (std::size_t i = 4; i <= 6; ++i) {
    for (std::uint64_t k = 0; k < 2; ++k)
      ASSERT_EQ(wire->send(i, Lane::realtime, text_of(10 * i + k, 60'000), 10 * i + k), SendResult::ok);
  }
  EXPECT_TRUE(wire->run_for(60'000'000, [&] { return hub.got.size() == 9; })) << hub.got.size();
  EXPECT_GE(hub.endpoint->counters().grants_taken_back[PTL_LARGE], 1u);
  // And who gave them back gets new ones for the asking.
  ASSERT_EQ(wire->send(1, Lane::realtime, text_of(7, 60'000), 7), SendResult::ok);
  EXPECT_TRUE(wire->run_for(60'000'000, [&] { return hub.got.size() == 10; }));
}

// The window follows what comes in a round trip: a path of 200 Mbit/s and 60 ms holds 23 large segments.
TEST(Grants, TheWindowGrowsWithBandwidthTimesRoundTrip) {
  Limits limits = Limits::sim();
  limits.grants_per_class = 32;
  auto wire = make_pair(30'000'000, 200'000'000, limits);
  wire->run_for(300'000'000);
  Node& b = *wire->nodes[1];
  b.keep_bytes = false;
  std::uint32_t early = 0, late = 0;
  const std::uint64_t begin = wire->now_ns;
  for (std::uint64_t i = 0; wire->now_ns < begin + 2'000'000'000;) {
    if (wire->send(0, Lane::realtime, std::string(1'000'000, 'x'), i) == SendResult::ok) ++i;
    wire->run_for(2'000'000);
    std::uint32_t& most = wire->now_ns < begin + 100'000'000 ? early : late;
    most = std::max(most, b.store->usage().large_slots);
  }
  EXPECT_LE(early, 16u);
  const double used = static_cast<double>(b.got.size()) * 8e6 / 2.0 / 200e6;
  std::printf("large slots at most: %u in the first 100 ms, %u later; %.0f %% of the rate used\n", early, late,
              used * 100);
  EXPECT_GT(late, 24u);
  EXPECT_GT(used, 0.8);  // the start and what is under way at the end included; half, if each batch had to be asked for
}

}  // namespace
}  // namespace portolan::broker::session
