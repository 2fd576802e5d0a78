// Two endpoints over the test wire: handshake, short messages both ways, acknowledgement, credit, lanes, silence.
#include <gtest/gtest.h>

#include "broker/session/test_wire.hpp"

namespace portolan::broker::session {
namespace {

constexpr std::uint64_t kMs = 1'000'000;

TEST(Session, ComesUpAtBothEndsWithOneUid) {
  auto wire = make_pair();
  wire->run_for(200 * kMs);
  Node& a = *wire->nodes[0];
  Node& b = *wire->nodes[1];
  ASSERT_EQ(a.events.size(), 1u);
  ASSERT_EQ(b.events.size(), 1u);
  EXPECT_EQ(a.events[0].kind, SessionEvent::Kind::up);
  EXPECT_EQ(a.events[0].peer, 2u);
  EXPECT_EQ(b.events[0].peer, 1u);
  EXPECT_NE(a.events[0].uid, 0u);
  EXPECT_EQ(a.events[0].uid, b.events[0].uid);
  EXPECT_TRUE(b.events[0].configured);
  EXPECT_NEAR(static_cast<double>(a.endpoint->smoothed_rtt_ns(a.up)), 30e6, 2e6);
  EXPECT_NEAR(static_cast<double>(b.endpoint->smoothed_rtt_ns(b.up)), 30e6, 2e6);
}

TEST(Session, MovesShortMessagesBothWaysOnceEach) {
  auto wire = make_pair();
  wire->run_for(200 * kMs);
  for (std::uint64_t i = 0; i < 500; ++i) {
    ASSERT_EQ(wire->send(0, Lane::realtime, text_of(i, 1 + i % 1'200), i), SendResult::ok);
    ASSERT_EQ(wire->send(1, Lane::ordered, text_of(i + 10'000, i % 300), i), SendResult::ok);
    wire->run_for(kMs);
  }
  wire->run_for(200 * kMs);
  Node& a = *wire->nodes[0];
  Node& b = *wire->nodes[1];
  ASSERT_EQ(b.got.size(), 500u);
  ASSERT_EQ(a.got.size(), 500u);
  for (std::uint64_t i = 0; i < 500; ++i) {
    EXPECT_EQ(b.got[i].sequence, i);
    EXPECT_EQ(b.got[i].bytes, text_of(i, 1 + i % 1'200));
    EXPECT_EQ(a.got[i].bytes, text_of(i + 10'000, i % 300));
  }
  const Progress p = a.endpoint->progress(a.up, Lane::realtime);
  EXPECT_EQ(p.sent, 500u);
  EXPECT_EQ(p.admitted, 500u);
  EXPECT_EQ(p.delivered, 500u);
  EXPECT_EQ(a.store->usage().messages, 0u);
  EXPECT_EQ(b.store->usage().messages, 0u);
  EXPECT_EQ(a.endpoint->counters().repair_datagrams, 0u);
  EXPECT_EQ(a.endpoint->counters().packets_lost, 0u);
}

TEST(Session, ControlGoesUpInOrder) {
  auto wire = make_pair();
  Draw draw{5};
  wire->fate = [&](Wire::Packet& p) { p.delay_ns += draw.below(20) * kMs; };
  wire->run_for(500 * kMs);
  Node& a = *wire->nodes[0];
  for (int i = 0; i < 300; ++i) {
    const std::string body = std::to_string(i);
    ASSERT_TRUE(a.endpoint->send_control(wire->now(), a.up, PTL_C_TOPIC,
                                         {reinterpret_cast<const std::uint8_t*>(body.data()), body.size()}));
    wire->run_for(kMs);
  }
  wire->run_for(500 * kMs);
  Node& b = *wire->nodes[1];
  ASSERT_EQ(b.got.size(), 300u);
  for (std::size_t i = 0; i < 300; ++i) EXPECT_EQ(b.got[i].bytes, std::to_string(i));
}

TEST(Session, PutsManyShortMessagesIntoOneDatagram) {
  auto wire = make_pair();
  wire->run_for(200 * kMs);
  const std::uint64_t before = wire->nodes[0]->endpoint->counters().datagrams_out;
  for (std::uint64_t i = 0; i < 100; ++i) ASSERT_EQ(wire->send(0, Lane::realtime, "hello", i), SendResult::ok);
  wire->run_for(kMs / 10);
  const std::uint64_t used = wire->nodes[0]->endpoint->counters().datagrams_out - before;
  EXPECT_LE(used, 4u);  // 31 of 40 bytes in each
  wire->run_for(200 * kMs);
  EXPECT_EQ(wire->nodes[1]->got.size(), 100u);
}

TEST(Session, IdleCostsFewDatagramsAndNoRepair) {
  auto wire = make_pair();
  wire->run_for(1'000 * kMs);
  const std::uint64_t before = wire->sent[0] + wire->sent[1];
  wire->run_for(1'000 * kMs);
  const std::uint64_t used = wire->sent[0] + wire->sent[1] - before;
  EXPECT_GE(used, 20u);
  EXPECT_LE(used, 50u);
}

TEST(Session, ASessionThatNeverPausesStillSendsAHeartbeatInEachIdleInterval) {
  auto wire = make_pair();  // idle interval 100 ms
  wire->run_for(200 * kMs);
  std::uint64_t last = wire->now_ns, longest = 0, count = 0;
  wire->fate = [&](Wire::Packet& p) {
    if (p.from != 0 || type_of(get<ptl_frame>(p.bytes.data())) != PTL_HEARTBEAT) return;
    longest = std::max(longest, wire->now_ns - last);
    last = wire->now_ns;
    ++count;
  };
  for (std::uint64_t i = 0; i < 20'000; ++i) {
    ASSERT_EQ(wire->send(0, Lane::realtime, "steady", i), SendResult::ok) << i;
    wire->run_for(kMs / 10);
  }
  longest = std::max(longest, wire->now_ns - last);
  EXPECT_LE(longest, 101 * kMs);
  EXPECT_LE(count, 25u);  // and not more than that
}

TEST(Session, SilenceEndsItAfterThreeIdleIntervalsAndItComesBack) {
  auto wire = make_pair();
  wire->run_for(500 * kMs);
  const std::uint64_t cut = wire->now_ns;
  wire->fate = [&](Wire::Packet& p) {
    if (wire->now_ns < cut + 2'000 * kMs) p.copies = 0;
  };
  Node& a = *wire->nodes[0];
  wire->run_for(1'000 * kMs, [&] { return a.events.size() == 2; });
  ASSERT_EQ(a.events.size(), 2u);
  EXPECT_EQ(a.events[1].reason, DownReason::timeout);
  EXPECT_GE(wire->now_ns - cut, 200 * kMs);
  EXPECT_LE(wire->now_ns - cut, 350 * kMs);
  wire->run_for(4'000 * kMs);
  ASSERT_EQ(a.events.size(), 3u);
  EXPECT_EQ(a.events[2].kind, SessionEvent::Kind::up);
  EXPECT_NE(a.events[2].uid, a.events[0].uid);
  ASSERT_EQ(wire->nodes[1]->events.size(), 3u);
  EXPECT_EQ(wire->send(0, Lane::realtime, "again", 1), SendResult::ok);
  wire->run_for(100 * kMs);
  ASSERT_EQ(wire->nodes[1]->got.size(), 1u);
}

TEST(Session, CreditIsGivenBackAsMessagesAreTaken) {
  Limits limits = Limits::sim_client();
  limits.credit_bytes = 16'384;
  auto wire = make_pair(kMs, 0, limits);
  wire->run_for(100 * kMs);
  Node& b = *wire->nodes[1];
  b.take = false;
  std::uint64_t ok = 0;
  for (std::uint64_t i = 0; i < 200; ++i) {
    if (wire->send(0, Lane::realtime, text_of(i, 500), i) == SendResult::ok) ++ok;
    wire->run_for(kMs);
  }
  EXPECT_LE(b.store->usage().messages * 532u, 16'384u);  // no more than the credit
  EXPECT_GE(b.store->usage().messages, 25u);
  b.take = true;
  wire->deliver_up(1);
  wire->run_for(1'000 * kMs);
  EXPECT_EQ(b.got.size(), ok);
}

TEST(Session, ThePacerKeepsTheRateOfAllLanesTogether) {
  auto wire = make_pair(5 * kMs, 8'000'000);  // a byte each microsecond
  wire->run_for(300 * kMs);
  Node& b = *wire->nodes[1];
  b.keep_bytes = false;
  std::uint64_t ok = 0;
  const std::uint64_t from = wire->now_ns;
  const std::uint64_t bytes = wire->sent_bytes[0];
  while (wire->now_ns < from + 2'000 * kMs) {
    for (std::uint64_t i = 0; i < 20; ++i) {
      if (wire->send(0, static_cast<Lane>(1 + i % 3), text_of(i, 300), i) == SendResult::ok) ++ok;
    }
    wire->run_for(2 * kMs);
  }
  const std::uint64_t used = wire->sent_bytes[0] - bytes;
  EXPECT_LE(used, 2'010'000u);
  // 96 %: paced at 99, and for one round in about eight, after each look for more, at a quarter less.
  EXPECT_GE(used, 1'915'000u);
  // What was taken waits at most 50 ms here: it has all arrived by then.
  wire->run_for(75 * kMs);
  EXPECT_EQ(b.got.size(), ok);
  EXPECT_EQ(wire->nodes[0]->endpoint->counters().repair_datagrams, 0u);
}

TEST(Session, BulkKeepsATenthAndOrderedAndRealtimeShareTheRest) {
  auto wire = make_pair(5 * kMs, 8'000'000);
  wire->run_for(300 * kMs);
  Node& b = *wire->nodes[1];
  b.keep_bytes = false;
  for (int step = 0; step < 1'000; ++step) {
    for (const Lane lane : {Lane::bulk, Lane::realtime, Lane::ordered}) {
      for (int i = 0; i < 8; ++i) wire->send(0, lane, std::string(200, 'x'), 1);
    }
    wire->run_for(2 * kMs);
  }
  std::size_t lanes[4] = {};
  for (const Got& got : b.got) ++lanes[static_cast<std::size_t>(got.lane)];
  const std::size_t all = lanes[1] + lanes[2] + lanes[3];
  EXPECT_GE(lanes[3] * 100, all * 8);
  EXPECT_LE(lanes[3] * 100, all * 13);
  EXPECT_GE(lanes[1] * 100, all * 35);
  EXPECT_GE(lanes[2] * 100, all * 35);
}

TEST(Session, RefusedSendsLeaveNothingAndRoomIsToldOnceItIsThere) {
  auto wire = make_pair(5 * kMs, 8'000'000);
  wire->run_for(300 * kMs);
  Node& a = *wire->nodes[0];
  std::uint64_t ok = 0;
  while (wire->send(0, Lane::realtime, text_of(1, 1'000), ok) == SendResult::ok) ++ok;
  EXPECT_GE(ok, 20u);  // realtime's 22.5 ms of a byte each microsecond
  EXPECT_LE(ok, 30u);
  const std::uint64_t held = a.store->usage().messages;
  EXPECT_EQ(wire->send(0, Lane::realtime, text_of(1, 1'000), ok), SendResult::no_room);
  EXPECT_EQ(a.store->usage().messages, held);
  EXPECT_EQ(a.endpoint->progress(a.up, Lane::realtime).sent, ok);
  EXPECT_TRUE(a.rooms.empty());
  ASSERT_TRUE(wire->run_for(100 * kMs, [&] { return !a.rooms.empty(); }));
  EXPECT_EQ(a.rooms[0], a.up);
  EXPECT_EQ(wire->send(0, Lane::realtime, text_of(1, 1'000), ok), SendResult::ok);
  wire->run_for(300 * kMs);
  EXPECT_EQ(a.rooms.size(), 1u);
  EXPECT_EQ(wire->nodes[1]->got.size(), ok + 1);
}

TEST(Session, TheSameRunTwiceIsTheSameBytes) {
  const auto run = [](std::uint64_t seed) {
    auto wire = make_pair(7 * kMs, 50'000'000);
    Draw draw{seed};
    std::uint64_t hash = 0;
    wire->fate = [&](Wire::Packet& p) {
      for (const std::uint8_t byte : p.bytes) hash = (hash ^ byte) * 0x100000001B3ull;
      hash = (hash ^ wire->now_ns) * 0x100000001B3ull;
      if (draw.below(20) == 0) p.copies = 0;
      p.delay_ns += draw.below(kMs);
    };
    wire->run_for(500 * kMs);
    for (std::uint64_t i = 0; i < 200; ++i) {
      wire->send(i % 2, Lane::realtime, text_of(i, i % 20 == 0 ? 30'000 : 100), i);
      wire->run_for(3 * kMs);
    }
    return hash;
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

}  // namespace
}  // namespace portolan::broker::session
